// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"context"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/activity"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/index"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/notebookpod"
)

// Options are what can be set.
type Options struct {
	// Concurrency is how many notebooks are worked on at once.
	Concurrency int
	Settings    Settings
	Probing     Probing
}

// Setup adds the kind, and what asks the servers, to a manager.
func Setup(mgr ctrl.Manager, deps engine.Deps, opts Options) error {
	uses := engine.NewSnapshot[asked, Activity](func(name asked) reconcile.Request { return reconcile.Request{NamespacedName: name} })
	asking := activity.NewClient(opts.Probing.Timeout, opts.Probing.Proxy)
	p := &prober{Probing: opts.Probing, reader: mgr.GetClient(), uses: uses, settings: opts.Settings, asker: asking, clock: clock.RealClock{}}
	if at := opts.Probing.Prometheus; at != "" {
		p.meter = &activity.Metrics{Client: asking, Base: strings.TrimSuffix(at, "/") + "/", Queries: opts.Probing.Queries}
	}
	if opts.Probing.Every > 0 {
		if err := mgr.Add(p); err != nil {
			return fmt.Errorf("adding the prober of notebooks: %w", err)
		}
	}
	find := finder{mgr.GetClient()}
	watches := func(b *builder.Builder) *builder.Builder {
		b = b.Owns(&appsv1.StatefulSet{}).Owns(&corev1.Service{}).
			Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(labelled), builder.WithPredicates(changed)).
			Watches(&corev1.PersistentVolumeClaim{}, handler.EnqueueRequestsFromMapFunc(labelled), builder.WithPredicates(changed)).
			Watches(&corev1.ServiceAccount{}, handler.EnqueueRequestsFromMapFunc(find.neighbours), builder.WithPredicates(editorComesOrGoes)).
			Watches(&v1alpha1.PodDefault{}, handler.EnqueueRequestsFromMapFunc(find.neighbours), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
			Watches(&v1alpha1.Profile{}, handler.EnqueueRequestsFromMapFunc(find.tenants), builder.WithPredicates(governing)).
			Watches(&corev1.Event{}, handler.EnqueueRequestsFromMapFunc(find.mounting), builder.WithPredicates(retold)).
			Watches(&v1alpha1.Accelerator{}, handler.EnqueueRequestsFromMapFunc(find.asking), builder.WithPredicates(decisive)).
			WatchesRawSource(uses.Source())
		for _, kind := range Optional {
			owner := handler.EnqueueRequestForOwner(mgr.GetScheme(), mgr.GetRESTMapper(), &v1alpha1.Notebook{}, handler.OnlyControllerOwner())
			b = b.WatchesRawSource(deps.Optional.Source(kind, owner, find.all))
		}
		return b
	}
	kind := kindOf(observer{offers: deps.Optional, live: deps.Live, uses: uses, settings: opts.Settings})
	return engine.Register(mgr, engine.New(Name, kind, deps), watches, controller.Options{MaxConcurrentReconciles: opts.Concurrency})
}

// labelled finds the notebook that an object belongs to.
func labelled(_ context.Context, o client.Object) []reconcile.Request {
	name := o.GetLabels()[names.Notebook]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: o.GetNamespace(), Name: name}}}
}

// changed lets through updates in what the cache keeps of an object.
var changed = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	if e.ObjectNew.GetLabels()[names.Notebook] == "" {
		return false
	}
	old := e.ObjectOld.DeepCopyObject().(client.Object)
	old.SetResourceVersion(e.ObjectNew.GetResourceVersion())
	return !equality.Semantic.DeepEqual(old, e.ObjectNew)
}}

// editorComesOrGoes lets through the service account of notebooks when it comes and goes; a namespace may have many others.
var editorComesOrGoes = predicate.And(
	predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetName() == notebookpod.Editor }),
	predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }},
)

// retold lets through events that say something new: the kubelet repeats them, and they expire.
var retold = predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.(*corev1.Event).Message != e.ObjectNew.(*corev1.Event).Message
	},
	DeleteFunc: func(event.DeleteEvent) bool { return false },
}

// decisive lets through changes of an Accelerator that a notebook may wait for; who uses how many devices changes all the time.
var decisive = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	old, now := e.ObjectOld.(*v1alpha1.Accelerator), e.ObjectNew.(*v1alpha1.Accelerator)
	return old.Generation != now.Generation || old.Status.ObservedGeneration != now.Status.ObservedGeneration ||
		!equality.Semantic.DeepEqual(old.Status.Shapes, now.Status.Shapes) || !equality.Semantic.DeepEqual(old.Status.Conditions, now.Status.Conditions) ||
		!equality.Semantic.DeepEqual(old.Status.ByNamespace, now.Status.ByNamespace) && now.Spec.Sharing != nil
}}

// governing lets through Profiles whose word for notebooks comes, changes or goes.
var governing = predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool { return e.Object.(*v1alpha1.Profile).Spec.Notebooks != nil },
	UpdateFunc: func(e event.UpdateEvent) bool {
		old, now := e.ObjectOld.(*v1alpha1.Profile), e.ObjectNew.(*v1alpha1.Profile)
		return !equality.Semantic.DeepEqual(old.Spec.Notebooks, now.Spec.Notebooks) || now.Spec.Notebooks != nil && old.Status.Namespace != now.Status.Namespace
	},
	DeleteFunc: func(e event.DeleteEvent) bool { return e.Object.(*v1alpha1.Profile).Spec.Notebooks != nil },
}

// finder finds the notebooks that something is news for.
type finder struct{ client.Reader }

func (f finder) list(ctx context.Context, opts ...client.ListOption) []reconcile.Request {
	var all v1alpha1.NotebookList
	if f.List(ctx, &all, append(opts, client.UnsafeDisableDeepCopy)...) != nil {
		return nil // the cache is not there yet, or no more: every notebook is looked at when it is
	}
	var found []reconcile.Request
	for i := range all.Items {
		found = append(found, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
	}
	return found
}

func (f finder) all(ctx context.Context) []reconcile.Request { return f.list(ctx) }

// neighbours finds those of the same namespace.
func (f finder) neighbours(ctx context.Context, o client.Object) []reconcile.Request {
	return f.list(ctx, client.InNamespace(o.GetNamespace()))
}

// tenants finds those in the namespace of a Profile.
func (f finder) tenants(ctx context.Context, o client.Object) []reconcile.Request {
	return f.list(ctx, client.InNamespace(o.GetName()))
}

// asking finds those that name an Accelerator, or were told of the others there are.
func (f finder) asking(ctx context.Context, o client.Object) []reconcile.Request {
	var found []reconcile.Request
	for _, value := range []string{o.GetName(), index.AnyAccelerator} {
		found = append(found, f.list(ctx, client.MatchingFields{index.Accelerators: value})...)
	}
	return found
}

// mounting finds the notebook whose pod an event is about.
func (f finder) mounting(ctx context.Context, o client.Object) []reconcile.Request {
	about := o.(*corev1.Event).InvolvedObject
	var p corev1.Pod
	if about.Kind != "Pod" || f.Get(ctx, client.ObjectKey{Namespace: about.Namespace, Name: about.Name}, &p) != nil {
		return nil // not a pod, or not any more
	}
	return labelled(ctx, &p)
}
