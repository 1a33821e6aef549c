// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Access is whether objects of a kind can be read.
type Access string

// The answers.
const (
	// AccessPending: the watch is being opened; who asked is woken.
	AccessPending Access = "Pending"
	// AccessReady: the cache shows all of the kind.
	AccessReady Access = "Ready"
	// AccessMissing: the cluster does not serve the kind.
	AccessMissing Access = "Missing"
	// AccessForbidden: the manager may not read the kind.
	AccessForbidden Access = "Forbidden"
	// AccessClusterWide: objects of the kind are in no namespace.
	AccessClusterWide Access = "ClusterWide"
)

// OnDemand reads kinds that only users name, for objects of a kind of ours. It is OnDemandCache in a cluster.
type OnDemand interface {
	client.Reader
	// Use tells whether a kind can be read, opens a watch on it where there is none, and does not wait for it. Why is what the API
	// server says where it cannot be read.
	Use(kind schema.GroupVersionKind, user types.NamespacedName) (access Access, why string)
	// Release tells that an object of ours uses no kind any more.
	Release(user types.NamespacedName)
}

// idle is how long the watch on a kind stays open that nobody uses any more: the next experiment may be a minute away.
const idle = 10 * time.Minute

// OnDemandCache watches kinds as long as objects of ours use them. It shows only objects with a label, and keeps nothing else.
type OnDemandCache struct {
	cache.Cache
	live   client.Reader
	mapper meta.RESTMapper
	label  string
	clock  clock.WithDelayedExecution
	asks   chan schema.GroupVersionKind

	mu     sync.Mutex
	kinds  map[schema.GroupVersionKind]*demanded
	queues []workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// demanded is a kind that is or was used.
type demanded struct {
	access Access
	why    string
	asked  bool
	users  map[types.NamespacedName]bool
	// closing ends the watch when it has been idle for long; nil while it is used.
	closing clock.Timer
}

// NewOnDemandCache adds a cache of objects with a label, whose value is the name of the object of ours that they are for.
func NewOnDemandCache(mgr ctrl.Manager, label string) (*OnDemandCache, error) {
	has, err := labels.NewRequirement(label, selection.Exists, nil)
	if err != nil {
		return nil, fmt.Errorf("selecting by %s: %w", label, err)
	}
	d := &OnDemandCache{
		live: mgr.GetAPIReader(), mapper: mgr.GetRESTMapper(), label: label, clock: clock.RealClock{},
		asks: make(chan schema.GroupVersionKind, 100), kinds: map[schema.GroupVersionKind]*demanded{},
	}
	d.Cache, err = cache.New(mgr.GetConfig(), cache.Options{
		Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient(),
		DefaultLabelSelector: labels.NewSelector().Add(*has), DefaultTransform: cache.TransformStripManagedFields(),
		DefaultWatchErrorHandler: func(ctx context.Context, r *toolscache.Reflector, err error) {
			toolscache.DefaultWatchErrorHandler(ctx, r, err)
			d.failed(err)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("making a cache of kinds on demand: %w", err)
	}
	return d, mgr.Add(d)
}

// NeedLeaderElection is true: who does not lead has no use for jobs.
func (d *OnDemandCache) NeedLeaderElection() bool { return true }

// Start opens watches until the context ends.
func (d *OnDemandCache) Start(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- d.Cache.Start(ctx) }()
	for {
		select {
		case <-ctx.Done():
			return <-done
		case kind := <-d.asks:
			go d.open(ctx, kind)
		}
	}
}

// Use implements OnDemand.
func (d *OnDemandCache) Use(kind schema.GroupVersionKind, user types.NamespacedName) (Access, string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := d.kinds[kind]
	if k == nil {
		k = &demanded{users: map[types.NamespacedName]bool{}}
		d.kinds[kind] = k
	}
	k.users[user] = true
	if k.closing != nil {
		k.closing.Stop()
		k.closing = nil
	}
	// One that could not be read is asked for anew by whoever still needs it: who mended it does not tell us.
	if k.access != AccessReady {
		d.ask(kind, k)
	}
	return cmp.Or(k.access, AccessPending), k.why
}

// ask has a kind looked for, unless it is being looked for.
func (d *OnDemandCache) ask(kind schema.GroupVersionKind, k *demanded) {
	if k.asked {
		return
	}
	select {
	case d.asks <- kind:
		k.asked = true
	default: // whoever needs it asks again
	}
}

// failed is told of a watch that cannot be opened again. Of a kind that is gone, or may not be read any more, it never will be: all that
// are watched are looked for, since the error does not say which it is.
func (d *OnDemandCache) failed(err error) {
	if !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for kind, k := range d.kinds {
		if k.access == AccessReady {
			d.ask(kind, k)
		}
	}
}

// Release implements OnDemand.
func (d *OnDemandCache) Release(user types.NamespacedName) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for kind, k := range d.kinds {
		if !k.users[user] {
			continue
		}
		delete(k.users, user)
		if len(k.users) == 0 {
			k.closing = d.clock.AfterFunc(idle, func() { d.close(kind) })
		}
	}
}

// open watches a kind, or ends the watch on one that cannot be read any more, and wakes its users when what is known of it has changed.
func (d *OnDemandCache) open(ctx context.Context, kind schema.GroupVersionKind) {
	d.mu.Lock()
	watched := d.kinds[kind] != nil && d.kinds[kind].access == AccessReady
	d.mu.Unlock()
	access, why := d.try(ctx, kind, watched)
	d.mu.Lock()
	defer d.mu.Unlock()
	k := d.kinds[kind]
	if k == nil {
		return
	}
	// What the API server says may differ each time: who was told of such an answer asks again by itself, after a while.
	changed := k.access != access
	k.asked, k.access, k.why = false, access, why
	if !changed {
		return
	}
	log.FromContext(ctx).Info("A kind on demand", "kind", kind, "access", access, "why", why)
	for user := range k.users {
		d.wake(user)
	}
}

func (d *OnDemandCache) wake(user types.NamespacedName) {
	for _, q := range d.queues {
		q.Add(reconcile.Request{NamespacedName: user})
	}
}

// Source wakes objects of a controller by what they use; give it to WatchesRawSource.
func (d *OnDemandCache) Source() source.Source {
	return source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.queues = append(d.queues, q)
		return nil
	})
}

// handler wakes the object that the label of a changed one names.
func (d *OnDemandCache) handler() toolscache.ResourceEventHandler {
	told := func(o any) {
		if gone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
			o = gone.Obj
		}
		if changed, ok := o.(client.Object); ok {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.wake(types.NamespacedName{Namespace: changed.GetNamespace(), Name: changed.GetLabels()[d.label]})
		}
	}
	return toolscache.ResourceEventHandlerFuncs{AddFunc: told, UpdateFunc: func(_, o any) { told(o) }, DeleteFunc: told}
}

// try opens the watch, unless there is one. A list of one object comes first, because an informer that may not list tries for ever.
func (d *OnDemandCache) try(ctx context.Context, kind schema.GroupVersionKind, watched bool) (Access, string) {
	ctx, cancel := context.WithTimeout(ctx, syncs)
	defer cancel()
	access, err := d.readable(ctx, kind)
	if watched && access == AccessMissing && !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err) {
		return AccessReady, "" // what could not be asked now is not gone
	}
	if access == AccessReady && !watched {
		if err = d.watch(ctx, kind); err != nil {
			access = AccessMissing
		}
	}
	if access != AccessReady {
		err = errors.Join(err, d.RemoveInformer(ctx, Blank(kind)))
	}
	if err == nil {
		return access, ""
	}
	return access, messageOf(err)
}

// readable is whether a kind can be listed, and why not.
func (d *OnDemandCache) readable(ctx context.Context, kind schema.GroupVersionKind) (Access, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	switch err := d.live.List(ctx, list, client.Limit(1), client.HasLabels{d.label}); {
	case apierrors.IsForbidden(err):
		return AccessForbidden, err
	case err != nil:
		return AccessMissing, err
	}
	if namespaced, err := apiutil.IsGVKNamespaced(kind, d.mapper); err == nil && !namespaced {
		return AccessClusterWide, nil
	}
	return AccessReady, nil
}

func (d *OnDemandCache) watch(ctx context.Context, kind schema.GroupVersionKind) error {
	informer, err := d.GetInformer(ctx, Blank(kind))
	if err == nil {
		_, err = informer.AddEventHandler(d.handler())
	}
	return err
}

// close ends the watch on a kind that nobody uses.
func (d *OnDemandCache) close(kind schema.GroupVersionKind) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := d.kinds[kind]
	if k == nil || len(k.users) > 0 {
		return
	}
	if k.asked { // it is being opened, and would stay open with nobody to close it
		k.closing = d.clock.AfterFunc(idle, func() { d.close(kind) })
		return
	}
	delete(d.kinds, kind)
	if err := d.RemoveInformer(context.Background(), Blank(kind)); err != nil {
		log.Log.Error(err, "Ending the watch on a kind on demand", "kind", kind)
	}
}
