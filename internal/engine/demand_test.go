// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllertest"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

var simulation, planet = schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Simulation"},
	schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Planet"}

// watches is a cache that tells which watches are open.
type watches struct {
	informertest.FakeInformers
	open map[schema.GroupVersionKind]bool
}

func (w *watches) GetInformer(_ context.Context, o client.Object, _ ...cache.InformerGetOption) (cache.Informer, error) {
	w.open[o.GetObjectKind().GroupVersionKind()] = true
	return &controllertest.FakeInformer{}, nil
}

func (w *watches) RemoveInformer(_ context.Context, o client.Object) error {
	delete(w.open, o.GetObjectKind().GroupVersionKind())
	return nil
}

// lists is an API server whose lists are what it says.
type lists struct {
	client.Reader
	answer func() error
}

func (l *lists) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return l.answer()
}

// demand is an OnDemandCache in a test, which opens what is asked for when it is told to.
type demand struct {
	*OnDemandCache
	*watches
	*lists
	t     *testing.T
	clock *testclock.FakeClock
	woken workqueue.TypedRateLimitingInterface[reconcile.Request]
}

func newDemand(t *testing.T) demand {
	t.Helper()
	w, l := &watches{open: map[schema.GroupVersionKind]bool{}}, &lists{answer: func() error { return nil }}
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(simulation, meta.RESTScopeNamespace)
	mapper.Add(planet, meta.RESTScopeRoot)
	clock := testclock.NewFakeClock(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC))
	d := demand{
		&OnDemandCache{
			Cache: w, live: l, mapper: mapper, label: "trial", clock: clock,
			asks: make(chan schema.GroupVersionKind, 1), kinds: map[schema.GroupVersionKind]*demanded{},
		}, w, l, t, clock, workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]()),
	}
	if err := d.Source().Start(t.Context(), d.woken); err != nil {
		t.Fatal(err)
	}
	return d
}

// opens has the kind that is asked for opened.
func (d demand) opens() {
	d.t.Helper()
	select {
	case kind := <-d.asks:
		d.OnDemandCache.open(d.t.Context(), kind)
	default:
		d.t.Fatal("nothing is asked for")
	}
}

func (d demand) use(kind schema.GroupVersionKind, want Access) {
	d.t.Helper()
	if got, why := d.Use(kind, one); got != want {
		d.t.Fatalf("%s is %s (%s), want %s", kind.Kind, got, why, want)
	}
}

var one = types.NamespacedName{Namespace: "team", Name: "one"}

func TestAWatchClosesWhenItWasIdleForLong(t *testing.T) {
	d := newDemand(t)
	d.use(simulation, AccessPending)
	d.opens()
	d.use(simulation, AccessReady)
	if d.woken.Len() != 1 {
		t.Errorf("%d are woken, want the one that asked", d.woken.Len())
	}
	d.Release(one)
	d.clock.Step(idle - time.Second)
	d.use(simulation, AccessReady) // one trial after the other: the ten minutes begin anew
	d.Release(one)
	d.clock.Step(idle - time.Second)
	if !d.watches.open[simulation] {
		t.Fatal("the watch is closed although it was used a moment ago")
	}
	d.clock.Step(time.Second)
	if len(d.watches.open) > 0 || len(d.kinds) > 0 || d.clock.HasWaiters() {
		t.Errorf("open %v, known %v, timers %t, want nothing left", d.watches.open, d.kinds, d.clock.HasWaiters())
	}
	d.use(simulation, AccessPending)
}

// TestAnswersThatDifferWakeOnce: a message with a port in it, as of a connection that was refused, made users ask, and be woken, without end.
func TestAnswersThatDifferWakeOnce(t *testing.T) {
	d := newDemand(t)
	port := 40000
	d.answer = func() error {
		port++
		return fmt.Errorf("dial tcp 127.0.0.1:%d: %w", port, errors.New("connection refused"))
	}
	for range 5 {
		d.Use(simulation, one)
		d.opens()
		if n := d.woken.Len(); n != 1 {
			t.Fatalf("woken %d times at once", n)
		}
	}
	got, _ := d.woken.Get()
	d.woken.Done(got)
	d.Use(simulation, one)
	d.opens()
	if d.woken.Len() > 0 {
		t.Error("the same trouble in other words wakes again")
	}
}

func TestAKindOfTheClusterIsNotWatched(t *testing.T) {
	d := newDemand(t)
	d.use(planet, AccessPending)
	d.opens()
	d.use(planet, AccessClusterWide)
	if len(d.watches.open) > 0 {
		t.Errorf("open %v", d.watches.open)
	}
}

// TestAKindThatGoesIsNotWatched: the watch on a kind whose definition is removed fails for ever, and trials were told that it is served.
func TestAKindThatGoesIsNotWatched(t *testing.T) {
	d := newDemand(t)
	gone := apierrors.NewNotFound(schema.GroupResource{Group: simulation.Group, Resource: "simulations"}, "")
	for name, c := range map[string]struct {
		failed, answer error
		want           Access
		open           bool
	}{
		"it is another kind's watch that fails": {gone, nil, AccessReady, true},
		"the API server cannot be asked":        {gone, errors.New("connection refused"), AccessReady, true},
		"its definition is removed":             {gone, gone, AccessMissing, false},
		"it may not be read any more":           {apierrors.NewForbidden(schema.GroupResource{}, "", nil), apierrors.NewForbidden(schema.GroupResource{}, "", nil), AccessForbidden, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := demand{d.OnDemandCache, d.watches, d.lists, t, d.clock, d.woken}
			d.answer = func() error { return nil }
			if d.Use(simulation, one); len(d.asks) > 0 {
				d.opens()
			}
			d.use(simulation, AccessReady)
			d.answer = func() error { return c.answer }
			d.failed(fmt.Errorf("failed to list: %w", c.failed))
			d.opens()
			if got := d.kinds[simulation].access; got != c.want || d.watches.open[simulation] != c.open {
				t.Errorf("it is %s and watched is %t, want %s and %t", got, d.watches.open[simulation], c.want, c.open)
			}
		})
	}
}
