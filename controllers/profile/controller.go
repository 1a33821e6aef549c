// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
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
	"github.com/millrace-ml/millrace/internal/profile"
)

// Name is the kind's name.
const Name = "Profile"

// Optional are the kinds of optional APIs that Profiles make use of where the cluster offers them.
var Optional = []schema.GroupVersionKind{profile.AuthorizationPolicy}

// Kind is the Profile as the engine runs it, in a cluster with these offers; nil stands for none.
func Kind(offers engine.Offers, settings profile.Settings) engine.Kind[*v1alpha1.Profile, World] {
	return engine.Kind[*v1alpha1.Profile, World]{
		Observe: observer{offers, settings}.observe, Plan: Plan, Report: Report, Refuse: Refuse, Foresee: foresee,
		Adopts: adopts, Mint: minter{settings.TemplateNamespace}.mint, Unwatched: []client.Object{&corev1.Secret{}}, CanWait: canWait,
		Announce: []engine.Announcement{
			{Condition: v1alpha1.ConditionReady, Status: yes, Type: corev1.EventTypeNormal},
			{Condition: v1alpha1.ConditionNamespaceReady, Status: no, Reasons: []string{v1alpha1.ReasonNotAdoptable, v1alpha1.ReasonNameTaken, v1alpha1.ReasonNamespaceNotWatched}, Type: corev1.EventTypeWarning},
			{Condition: v1alpha1.ConditionAccessGranted, Status: no, Type: corev1.EventTypeWarning},
			{Condition: v1alpha1.ConditionSecretsReady, Status: no, Reasons: []string{v1alpha1.ReasonTemplateNotFound}, Type: corev1.EventTypeWarning},
		},
	}
}

// observer reads what a Profile is decided from, of optional kinds from offers. Everything has a name that is known: nothing is listed.
type observer struct {
	offers   engine.Offers
	settings profile.Settings
}

func (o observer) observe(ctx context.Context, c client.Reader, p *v1alpha1.Profile) (World, error) {
	w := World{Settings: o.settings, Mesh: o.offers != nil && o.offers.Serves(profile.AuthorizationPolicy)}
	var ns corev1.Namespace
	err := c.Get(ctx, client.ObjectKey{Name: p.Name}, &ns)
	if apierrors.IsNotFound(err) {
		return w, nil
	}
	if err != nil {
		return w, err
	}
	w.Namespace = &ns
	if !o.settings.Watches(p.Name) {
		return w, nil // the cache shows nothing of it
	}
	var failed []error
	for _, blank := range blanks(p.Name, w.Mesh) {
		reader := c
		if _, loose := blank.(runtime.Unstructured); loose {
			reader = o.offers
		}
		err := reader.Get(ctx, client.ObjectKey{Namespace: p.Name, Name: blank.GetName()}, blank.(client.Object))
		if err == nil {
			w.Children = append(w.Children, blank)
		}
		failed = append(failed, client.IgnoreNotFound(err))
	}
	return w, errors.Join(failed...)
}

// canWait is true of steps on the way to what is wanted: the next pass, which follows at once, takes the last of them.
func canWait(before, after *v1alpha1.Profile) bool {
	if before.Status.ObservedGeneration > 0 && before.Status.ObservedGeneration != after.Status.ObservedGeneration {
		return false
	}
	for _, c := range after.Status.Conditions {
		old := find(before, c.Type)
		if (old.Status != c.Status || old.Reason != c.Reason) && c.Reason != v1alpha1.ReasonApplying && c.Reason != v1alpha1.ReasonWaitingForNamespace {
			return false
		}
	}
	return true
}

// Options are what can be set.
type Options struct {
	// Concurrency is how many Profiles are worked on at once.
	Concurrency int
	// Settings are of all Profiles.
	Settings profile.Settings
}

// Setup adds the kind to a manager.
func Setup(mgr ctrl.Manager, deps engine.Deps, opts Options) error {
	watches := func(b *builder.Builder) *builder.Builder {
		by := handler.EnqueueRequestsFromMapFunc(of)
		for _, kind := range []client.Object{
			&corev1.Namespace{}, &corev1.ServiceAccount{}, &rbacv1.RoleBinding{}, &corev1.ResourceQuota{}, &corev1.LimitRange{}, &networkingv1.NetworkPolicy{},
		} {
			b = b.Watches(kind, by, builder.WithPredicates(changed))
		}
		for _, kind := range Optional {
			b = b.WatchesRawSource(deps.Optional.Source(kind, by, func(ctx context.Context) []reconcile.Request { return every(ctx, mgr.GetClient()) }))
		}
		return b
	}
	kind := Kind(deps.Optional, opts.Settings)
	return engine.Register(mgr, engine.New(Name, kind, deps), watches, controller.Options{MaxConcurrentReconciles: opts.Concurrency})
}

// of finds the Profile that an object is in the namespace of, or the namespace of. Where there is no such Profile nothing comes of it.
func of(_ context.Context, o client.Object) []reconcile.Request {
	name := o.GetNamespace()
	if name == "" {
		name = o.GetName()
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: name}}}
}

// every are all Profiles; asked for when a mesh comes or goes.
func every(ctx context.Context, c client.Reader) []reconcile.Request {
	var all v1alpha1.ProfileList
	if c.List(ctx, &all, client.UnsafeDisableDeepCopy) != nil {
		return nil // the cache is stopping
	}
	var found []reconcile.Request
	for i := range all.Items {
		found = append(found, reconcile.Request{NamespacedName: types.NamespacedName{Name: all.Items[i].Name}})
	}
	return found
}

// changed lets through updates of what is planned: a quota counts what is used all the time.
var changed = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	return !equality.Semantic.DeepEqual(intent(e.ObjectOld), intent(e.ObjectNew))
}}

// intent is an object without what changes by itself.
func intent(o client.Object) client.Object {
	o = o.DeepCopyObject().(client.Object)
	o.SetResourceVersion("")
	o.SetManagedFields(nil)
	if q, ok := o.(*corev1.ResourceQuota); ok {
		q.Status = corev1.ResourceQuotaStatus{}
	}
	return o
}
