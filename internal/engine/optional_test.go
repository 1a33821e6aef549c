// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/millrace-ml/millrace/internal/envtest"
)

var widgetKind = schema.GroupVersionKind{Group: "optional.example", Version: "v1", Kind: "Widget"}

func widgets() *apiextensionsv1.CustomResourceDefinition {
	open := true
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "widgets.optional.example"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "optional.example", Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "widgets", Kind: "Widget"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: &open}},
			}},
		},
	}
}

func eventually(t *testing.T, what string, ok func(context.Context) (bool, error)) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 60*time.Second, true, ok); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func TestOptionalKindAppearsVanishesAndReappears(t *testing.T) {
	server, scheme := envtest.Start(t), newScheme(t)
	must(t, apiextensionsv1.AddToScheme(scheme))
	admin, namespace := server.Client(t, scheme), server.Namespace(t)
	mgr, err := ctrl.NewManager(server.Config, ctrl.Options{Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"}})
	must(t, err)
	optional, err := NewOptional(mgr, widgetKind)
	must(t, err)
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	ctx, cancel := context.WithCancel(context.Background())
	everyone := func(context.Context) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: "everyone"}}}
	}
	watch := optional.Source(widgetKind, &handler.EnqueueRequestForObject{}, everyone)
	must(t, watch.Start(ctx, queue))
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		queue.ShutDown()
		must(t, <-done)
	})
	must(t, watch.WaitForSync(ctx))
	next := func(want string) {
		t.Helper()
		request, _ := queue.Get()
		queue.Done(request)
		if request.Name != want {
			t.Fatalf("woke %s, want %s", request.Name, want)
		}
	}
	for range 2 {
		if err := optional.Get(ctx, types.NamespacedName{Namespace: namespace, Name: "w"}, Blank(widgetKind)); !meta.IsNoMatchError(err) {
			t.Fatalf("reading a kind that is not there = %v, want no match", err)
		}
		definition := widgets()
		must(t, admin.Create(ctx, definition))
		eventually(t, "the kind appears", func(context.Context) (bool, error) { return optional.Serves(widgetKind), nil })
		next("everyone")
		widget := Blank(widgetKind)
		widget.SetNamespace(namespace)
		widget.SetName("w")
		must(t, admin.Create(ctx, widget))
		next("w")
		must(t, optional.Get(ctx, client.ObjectKeyFromObject(widget), Blank(widgetKind)))
		must(t, admin.Delete(ctx, widget))
		next("w")
		must(t, admin.Delete(ctx, definition))
		eventually(t, "the kind vanishes", func(context.Context) (bool, error) { return !optional.Serves(widgetKind), nil })
		next("everyone")
		eventually(t, "the definition goes", func(ctx context.Context) (bool, error) {
			err := admin.Get(ctx, client.ObjectKeyFromObject(definition), definition)
			return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
		})
	}
}
