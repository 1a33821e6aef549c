// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// saying reports one condition.
func saying(reason string, status metav1.ConditionStatus) func(*job, world, time.Time) {
	return func(o *job, _ world, _ time.Time) {
		o.SetConditions(withConditions(o.GetConditions(), metav1.Condition{Type: "Running", Status: status, Reason: reason, Message: "It says so."}))
	}
}

var announceRunning = []Announcement{{Condition: "Running", Status: metav1.ConditionTrue, Type: "Normal"}}

func TestStatusIsOnePatchAndOneEvent(t *testing.T) {
	b := newBench(t)
	r := b.engineOf(Kind[*job, world]{Report: saying("Up", metav1.ConditionTrue), Announce: announceRunning})
	b.requests.Reset()
	b.pass(r)
	if diff := cmp.Diff([]string{"patch trainingjobs/status"}, b.writes()); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Normal Up It says so."}, b.events()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	b.pass(r)
	if got := append(b.writes(), b.events()...); len(got) != 0 {
		t.Errorf("a second pass did %v, want nothing", got)
	}
	stored := b.stored()
	c := find(stored.GetConditions(), "Running")
	if stored.Status.ObservedGeneration != 1 || c.ObservedGeneration != 1 || !c.LastTransitionTime.Time.Equal(b.clock.Now()) {
		t.Errorf("observedGeneration %d, condition %+v", stored.Status.ObservedGeneration, c)
	}
}

func TestConflictIsQuietAndAnnouncesNothing(t *testing.T) {
	b := newBench(t)
	r := b.engineOf(Kind[*job, world]{Report: saying("Up", metav1.ConditionTrue), Announce: announceRunning})
	stale := b.stored()
	changed := b.stored()
	changed.Labels = map[string]string{"a": "b"}
	must(t, b.client.Update(t.Context(), changed))
	for _, want := range []time.Duration{firstConflict, 2 * firstConflict, 4 * firstConflict} {
		result, err := r.Reconcile(t.Context(), stale.DeepCopy())
		if err != nil || result.RequeueAfter != want {
			t.Errorf("a conflict gave %v, %v, want a requeue after %v", result, err, want)
		}
	}
	if got := b.events(); len(got) != 0 {
		t.Errorf("announced %v before it was stored", got)
	}
	b.pass(r)
	if diff := cmp.Diff([]string{"Normal Up It says so."}, b.events()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestPatientChangesAreStoredTogetherAndTheLastIsNotLost(t *testing.T) {
	b := newBench(t)
	reason := "A"
	r := b.engineOf(Kind[*job, world]{
		Report:  func(o *job, w world, now time.Time) { saying(reason, metav1.ConditionFalse)(o, w, now) },
		CanWait: func(_, after *job) bool { return find(after.GetConditions(), "Running").Reason != "Final" },
	})
	b.requests.Reset()
	if result := b.pass(r); result.RequeueAfter != opening || len(b.writes()) != 0 {
		t.Errorf("comes back after %v, want to wait for %v without a write", result.RequeueAfter, opening)
	}
	b.clock.SetTime(b.clock.Now().Add(opening))
	b.pass(r)
	if got := find(b.stored().GetConditions(), "Running").Reason; got != "A" {
		t.Errorf("stored reason = %s, want A", got)
	}
	reason = "B"
	b.requests.Reset()
	if result := b.pass(r); result.RequeueAfter != firstPause || len(b.writes()) != 0 {
		t.Errorf("comes back after %v, want to wait for %v without a write", result.RequeueAfter, firstPause)
	}
	b.clock.SetTime(b.clock.Now().Add(firstPause))
	b.pass(r)
	if got := find(b.stored().GetConditions(), "Running").Reason; got != "B" {
		t.Errorf("stored reason = %s, want B", got)
	}
	reason = "C"
	if result := b.pass(r); result.RequeueAfter != 2*firstPause {
		t.Errorf("comes back after %v, want twice the first pause", result.RequeueAfter)
	}
	reason = "Final"
	b.pass(r)
	if got := find(b.stored().GetConditions(), "Running").Reason; got != "Final" {
		t.Errorf("stored reason = %s, want Final at once", got)
	}
}

func TestHurriedChangesWaitASecondAtMost(t *testing.T) {
	b := newBench(t)
	reason := "A"
	r := b.engineOf(Kind[*job, world]{
		Report:  func(o *job, w world, now time.Time) { saying(reason, metav1.ConditionFalse)(o, w, now) },
		CanWait: func(_, _ *job) bool { return true },
		Hurries: func(_, after *job) bool { return find(after.GetConditions(), "Running").Reason == "Hurry" },
	})
	b.pass(r)
	b.clock.SetTime(b.clock.Now().Add(opening))
	b.pass(r)
	reason = "Hurry"
	if result := b.pass(r); result.RequeueAfter != briefly {
		t.Errorf("comes back after %v, want %v", result.RequeueAfter, briefly)
	}
	b.clock.SetTime(b.clock.Now().Add(briefly))
	b.pass(r)
	if got := find(b.stored().GetConditions(), "Running").Reason; got != "Hurry" {
		t.Errorf("stored reason = %s, want Hurry", got)
	}
}

func TestWhatHappenedIsCountedOnceItIsStored(t *testing.T) {
	b := newBench(t)
	r := b.engineOf(Kind[*job, world]{
		Report: saying("Up", metav1.ConditionTrue),
		Tally: func(before, after *job) []Count {
			if find(before.GetConditions(), "Running").Status == find(after.GetConditions(), "Running").Status {
				return nil
			}
			return []Count{{What: "replaced", Variant: "NodeTaint", Times: 2}}
		},
	})
	counter := occurrences.WithLabelValues("Toy", "replaced", "NodeTaint")
	before := testutil.ToFloat64(counter)
	b.pass(r)
	b.clock.SetTime(b.clock.Now().Add(opening)) // the first status may wait
	b.pass(r)
	b.pass(r)
	if got := testutil.ToFloat64(counter) - before; got != 2 {
		t.Errorf("counted %v, want 2", got)
	}
}

func TestPanicCostsOneObjectItsProgress(t *testing.T) {
	boom := func() { panic("boom") }
	tests := map[string]Kind[*job, world]{
		"observe": {Observe: func(context.Context, client.Reader, *job) (world, error) { boom(); return world{}, nil }},
		"plan":    {Plan: func(*job, world, time.Time) Plan { boom(); return Plan{} }},
		"report":  {Report: func(*job, world, time.Time) { boom() }},
	}
	for step, kind := range tests {
		t.Run(step, func(t *testing.T) {
			b := newBench(t)
			r := b.engineOf(kind)
			before := testutil.ToFloat64(planPanics.WithLabelValues("Toy", step))
			if result := b.pass(r); result != (ctrl.Result{}) {
				t.Errorf("result = %v, want no retry", result)
			}
			c := find(b.stored().GetConditions(), "Stalled")
			if c == nil || c.Status != metav1.ConditionTrue || c.Reason != "InternalError" {
				t.Errorf("Stalled = %+v, want True for InternalError", c)
			}
			if got := testutil.ToFloat64(planPanics.WithLabelValues("Toy", step)) - before; got != 1 {
				t.Errorf("counted %v panics, want 1", got)
			}
			b.requests.Reset()
			b.pass(r)
			if got := b.writes(); len(got) != 0 {
				t.Errorf("the same panic again wrote %v", got)
			}
		})
	}
}

func TestPartialWorldIsReadAgain(t *testing.T) {
	b := newBench(t)
	r := b.engineOf(Kind[*job, world]{
		Observe: func(context.Context, client.Reader, *job) (world, error) {
			return world{unread: []string{"probes"}}, nil
		},
		Report: saying("Unread", metav1.ConditionUnknown),
	})
	if result := b.pass(r); result.RequeueAfter != unreadAgain {
		t.Errorf("comes back after %v, want %v", result.RequeueAfter, unreadAgain)
	}
	if c := find(b.stored().GetConditions(), "Running"); c.Status != metav1.ConditionUnknown {
		t.Errorf("Running = %s, want Unknown", c.Status)
	}
}

func TestFinalizerGoesWhenNothingIsLeft(t *testing.T) {
	b := newBench(t)
	done := false
	r := b.engineOf(Kind[*job, world]{
		Finalizer: "millrace.dev/test",
		Finalize:  func(context.Context, *job) (bool, error) { return done, nil },
	})
	b.pass(r)
	if diff := cmp.Diff([]string{"millrace.dev/test"}, b.stored().Finalizers); diff != "" {
		t.Errorf("finalizers (-want +got):\n%s", diff)
	}
	must(t, b.client.Delete(t.Context(), b.stored()))
	if result := b.pass(r); result.RequeueAfter != finalizeAgain {
		t.Errorf("comes back after %v, want %v", result.RequeueAfter, finalizeAgain)
	}
	done = true
	b.pass(r)
	err := b.admin.Get(t.Context(), client.ObjectKeyFromObject(b.owner), &job{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("reading the object = %v, want not found", err)
	}
}

func TestObjectsThatAreGoneAreForgotten(t *testing.T) {
	b := newBench(t)
	var gone []types.NamespacedName
	r := b.engineOf(Kind[*job, world]{Gone: func(n types.NamespacedName) { gone = append(gone, n) }})
	b.pass(r)
	if got := r.memories.len(); got != 1 {
		t.Fatalf("remembers %d objects, want 1", got)
	}
	must(t, b.client.Delete(t.Context(), b.stored()))
	b.pass(r)
	if got := r.memories.len(); got != 0 || len(gone) != 1 {
		t.Errorf("remembers %d objects and told of %v, want none and one", got, gone)
	}
}

func TestSnapshotWakesOnNewsOnly(t *testing.T) {
	s := NewSnapshot[string, int](func(k string) reconcile.Request {
		return reconcile.Request{NamespacedName: types.NamespacedName{Name: k}}
	})
	q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	t.Cleanup(q.ShutDown)
	must(t, s.Source().Start(t.Context(), q))
	woken := func() int {
		n := q.Len()
		for range n {
			request, _ := q.Get()
			q.Done(request)
		}
		return n
	}
	steps := []struct {
		name string
		do   func()
		want int
	}{
		{"a first fact", func() { s.Set("a", 1) }, 1},
		{"the same fact", func() { s.Set("a", 1) }, 0},
		{"another fact", func() { s.Set("a", 2) }, 1},
		{"a fact taken back", func() { s.Unset("a") }, 1},
		{"a fact taken back twice", func() { s.Unset("a") }, 0},
	}
	for _, step := range steps {
		step.do()
		if got := woken(); got != step.want {
			t.Errorf("%s woke %d, want %d", step.name, got, step.want)
		}
	}
	s.Set("b", 3)
	s.Forget(func(k string) bool { return k == "b" })
	if _, known := s.Get("b"); known {
		t.Error("knows a forgotten fact")
	}
}
