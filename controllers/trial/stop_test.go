// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"context"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
)

// late is a watch on jobs that has not shown any yet.
type late struct{ client.Reader }

func (late) Use(schema.GroupVersionKind, types.NamespacedName) (engine.Access, string) {
	return engine.AccessReady, ""
}

func (late) Release(types.NamespacedName) {}

func (late) Get(_ context.Context, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	return apierrors.NewNotFound(schema.GroupResource{Resource: "jobs"}, key.Name)
}

// TestAJobThatWasJustMadeIsStoppedToo: a trial that ended before the watch had shown its job left the job running.
func TestAJobThatWasJustMadeIsStoppedToo(t *testing.T) {
	one := &v1alpha1.Trial{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "digits-1", UID: "uid"}}
	one.Spec.Objectives = []v1alpha1.Objective{{Metric: "loss", Direction: v1alpha1.Minimize}}
	one.Spec.Template.Job = &runtime.RawExtension{Raw: []byte(anyJob)}
	made := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "digits-1", UID: "job-uid"}}
	made.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(one, v1alpha1.GroupVersion.WithKind(Name))}
	asked := 0
	server := interceptor.NewClient(fake.NewClientBuilder().WithObjects(made).Build(), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if _, isJob := o.(*unstructured.Unstructured); isJob {
				asked++
			}
			return c.Get(ctx, key, o, opts...)
		},
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return nil },
	})
	look := func() World {
		w, err := observer{Outside{Jobs: late{}, Live: server}}.observe(t.Context(), server, one)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	if look(); asked > 0 {
		t.Errorf("the API server is asked %d times by a trial that goes on", asked)
	}
	one.Spec.Stop = &v1alpha1.TrialStop{Reason: v1alpha1.StopKilled}
	w := look()
	plan := Plan(one, w, noon)
	if len(plan.Delete) != 1 || plan.Delete[0].Object.GetUID() != "job-uid" {
		t.Fatalf("want the job deleted, got %+v", plan)
	}
	Report(one, w, noon)
	if !over(one) || one.Status.Job == nil {
		t.Errorf("want an end that knows of the job, got %+v", one.Status)
	}
}
