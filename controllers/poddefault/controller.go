// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package poddefault

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/index"
	"github.com/millrace-ml/millrace/internal/names"
)

// Name is the kind's name.
const Name = "PodDefault"

// PolicyName is the name of the admission policy and its binding.
const PolicyName = "millrace-poddefaults"

// The kinds of admission policies.
var (
	policies = schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "MutatingAdmissionPolicy"}
	bindings = policies.GroupVersion().WithKind("MutatingAdmissionPolicyBinding")
)

// Optional are the kinds of optional APIs by which pods of others get PodDefaults.
var Optional = []schema.GroupVersionKind{policies, bindings}

// Kind is the PodDefault as the engine runs it, in a cluster with these offers; nil stands for none.
func Kind(offers engine.Offers) engine.Kind[*v1alpha1.PodDefault, World] {
	return engine.Kind[*v1alpha1.PodDefault, World]{
		Observe: observer{offers}.observe, Plan: Plan, Report: Report, CanWait: canWait,
		Announce: []engine.Announcement{
			{Condition: v1alpha1.ConditionReady, Status: no, Type: corev1.EventTypeWarning},
			{Condition: v1alpha1.ConditionConflictFree, Status: no, Type: corev1.EventTypeWarning},
		},
	}
}

// observer reads the workloads of a namespace, and of optional kinds from offers.
type observer struct{ offers engine.Offers }

func (o observer) observe(ctx context.Context, c client.Reader, d *v1alpha1.PodDefault) (World, error) {
	var others v1alpha1.PodDefaultList
	var jobs v1alpha1.TrainingJobList
	var notebooks v1alpha1.NotebookList
	var pods corev1.PodList
	here := client.InNamespace(d.Namespace)
	err := errors.Join(
		c.List(ctx, &others, here, client.UnsafeDisableDeepCopy), c.List(ctx, &jobs, here, client.UnsafeDisableDeepCopy),
		c.List(ctx, &notebooks, here, client.UnsafeDisableDeepCopy),
		c.List(ctx, &pods, here, client.MatchingFields{index.AsksForDefaults: index.Yes}, client.UnsafeDisableDeepCopy),
	)
	if err != nil {
		return World{}, err
	}
	w := World{
		Others: others.Items, Jobs: jobs.Items, Notebooks: notebooks.Items, Pods: pods.Items,
		Served: o.offers != nil, Installed: true,
	}
	for _, kind := range Optional {
		if !w.Served || !o.offers.Serves(kind) {
			w.Served = false
			return w, nil
		}
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(kind)
		err := o.offers.Get(ctx, client.ObjectKey{Name: PolicyName}, u)
		if client.IgnoreNotFound(err) != nil {
			return World{}, err
		}
		w.Installed = w.Installed && !apierrors.IsNotFound(err)
	}
	return w, nil
}

// Setup adds the kind to a manager.
func Setup(mgr ctrl.Manager, deps engine.Deps, concurrency int) error {
	find := finder{mgr.GetClient()}
	watches := func(b *builder.Builder) *builder.Builder {
		b = b.Watches(&v1alpha1.PodDefault{}, gathered(find.beside), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
			Watches(&v1alpha1.TrainingJob{}, gathered(find.beside), builder.WithPredicates(makers)).
			Watches(&v1alpha1.Notebook{}, gathered(find.beside), builder.WithPredicates(dressed)).
			Watches(&corev1.Pod{}, gathered(find.beside), builder.WithPredicates(others))
		for _, kind := range Optional {
			b = b.WatchesRawSource(deps.Optional.Source(kind, gathered(find.every), func(ctx context.Context) []reconcile.Request { return find.every(ctx, nil) }))
		}
		return b
	}
	return engine.Register(mgr, engine.New(Name, Kind(deps.Optional), deps), watches, controller.Options{MaxConcurrentReconciles: concurrency})
}

// pace is how long events are gathered before PodDefaults are looked at again.
const pace = time.Second

// gathered wakes what is found a while later, and once for all events until then.
func gathered(find handler.MapFunc) handler.EventHandler { return engine.Gathered(find, pace) }

// finder finds the PodDefaults that something is news for.
type finder struct{ client.Reader }

// beside finds those of the namespace of an object.
func (f finder) beside(ctx context.Context, o client.Object) []reconcile.Request {
	return f.those(ctx, client.InNamespace(o.GetNamespace()))
}

func (f finder) every(ctx context.Context, o client.Object) []reconcile.Request {
	if o != nil && o.GetName() != PolicyName {
		return nil
	}
	return f.those(ctx)
}

func (f finder) those(ctx context.Context, opts ...client.ListOption) []reconcile.Request {
	var all v1alpha1.PodDefaultList
	if f.List(ctx, &all, append(opts, client.UnsafeDisableDeepCopy)...) != nil {
		return nil // the cache is stopping
	}
	var found []reconcile.Request
	for i := range all.Items {
		found = append(found, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
	}
	return found
}

// makers lets through what changes which pods a job makes.
var makers = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	old, now := e.ObjectOld.(*v1alpha1.TrainingJob), e.ObjectNew.(*v1alpha1.TrainingJob)
	return old.Generation != now.Generation || (old.Status.CompletionTime == nil) != (now.Status.CompletionTime == nil)
}}

// dressed lets through what changes the pod of a notebook: its labels and annotations are the pod's.
var dressed = predicate.Or(predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}, predicate.AnnotationChangedPredicate{})

// others lets through pods that are not Millrace's and ask for PodDefaults.
var others = predicate.And(
	predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetLabels()[names.PodDefaults] == "true" }),
	predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return !equality.Semantic.DeepEqual(e.ObjectOld.GetLabels(), e.ObjectNew.GetLabels())
	}},
)
