// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func pod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}},
	}
}

func pods(n int) []Step {
	steps := make([]Step, n)
	for i := range steps {
		steps[i] = Step{Object: pod(fmt.Sprintf("p-%02d", i)), Reason: "Made", Why: "they are wanted"}
	}
	return steps
}

func TestCreateIsDoneOnceAndAnnouncedOnce(t *testing.T) {
	b := newBench(t)
	r := b.engineOf(Kind[*job, world]{Plan: func(*job, world, time.Time) Plan { return Plan{Create: pods(10)} }})
	b.pass(r)
	want := []string{"Normal Made p-00, p-01, p-02 and 7 more: they are wanted"}
	if diff := cmp.Diff(want, b.events()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	b.pass(r) // as on a cache that shows no pod yet
	if got := b.events(); len(got) != 0 {
		t.Errorf("pods that exist were announced again: %v", got)
	}
}

func TestCreateStopsAtTheFirstRefusedBatch(t *testing.T) {
	b := newBench(t)
	quota := &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: "q"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"pods": resource.MustParse("0")}},
	}
	must(t, b.admin.Create(t.Context(), quota))
	quota.Status.Hard = quota.Spec.Hard // there is no controller manager to do it
	quota.Status.Used = corev1.ResourceList{"pods": resource.MustParse("0")}
	must(t, b.admin.Status().Update(t.Context(), quota))
	var refused []Refusal
	r := b.engineOf(Kind[*job, world]{
		Plan:   func(*job, world, time.Time) Plan { return Plan{Create: pods(100)} },
		Refuse: func(_ *job, refusals []Refusal) { refused = refusals },
	})
	b.requests.Reset()
	b.pass(r)
	if len(refused) != 1 || refused[0].Cause != Quota || !strings.Contains(refused[0].Message, "exceeded quota: q") {
		t.Errorf("refusals = %+v, want one of cause Quota", refused)
	}
	if diff := cmp.Diff([]string{"create pods", "patch trainingjobs/status"}, b.writes()); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}

func TestDeleteMeansTheObjectThatWasSeen(t *testing.T) {
	b := newBench(t)
	seen := settings(nil)
	seen.Namespace = b.namespace
	must(t, b.admin.Create(t.Context(), seen))
	must(t, b.admin.Delete(t.Context(), seen))
	replacement := settings(map[string]string{"new": "1"})
	replacement.Namespace = b.namespace
	must(t, b.admin.Create(t.Context(), replacement))
	step := Step{Object: seen}
	r := b.engineOf(Kind[*job, world]{Plan: func(*job, world, time.Time) Plan { return Plan{Delete: []Step{step}} }})
	b.pass(r)
	if got := read(b, "child", &corev1.ConfigMap{}); got.UID != replacement.UID {
		t.Errorf("UID = %v, want %v", got.UID, replacement.UID)
	}
	step = Step{Object: replacement}
	b.pass(r)
	err := b.admin.Get(t.Context(), client.ObjectKeyFromObject(replacement), replacement)
	if !apierrors.IsNotFound(err) {
		t.Errorf("reading what was deleted = %v, want not found", err)
	}
}

func TestPatchMeansTheObjectThatWasSeen(t *testing.T) {
	b := newBench(t)
	o := settings(nil)
	o.Namespace = b.namespace
	must(t, b.admin.Create(t.Context(), o))
	step := Step{Object: o, Data: []byte(`{"data":{"a":"b"}}`)}
	r := b.engineOf(Kind[*job, world]{Plan: func(*job, world, time.Time) Plan { return Plan{Patch: []Step{step}} }})
	b.pass(r)
	if diff := cmp.Diff(map[string]string{"a": "b"}, read(b, "child", &corev1.ConfigMap{}).Data); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
	other := o.DeepCopy()
	other.UID = "another"
	step = Step{Object: other, Data: []byte(`{"data":{"a":"c"}}`)}
	if result := b.pass(r); result.RequeueAfter != firstConflict {
		t.Errorf("comes back after %v, want %v", result.RequeueAfter, firstConflict)
	}
	if got := read(b, "child", &corev1.ConfigMap{}).Data["a"]; got != "b" {
		t.Errorf("data a = %q, want it untouched", got)
	}
}

// TestSlowStart: a batch is waited for, and after a failure no other begins; past the batches what is under way at once ends.
func TestSlowStart(t *testing.T) {
	tests := map[string]struct {
		failing     string
		least, most int
	}{
		"all go well":          {failing: "q", least: 99, most: 99},
		"all fail":             {failing: "p-00", least: 1, most: 1},
		"all but a batch fail": {failing: "p-04", least: 5, most: 5},
		"all but thirty fail":  {failing: "p-30", least: 31, most: 30 + parallel},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			outs := slowStart(t.Context(), pods(99), func(_ context.Context, s Step) outcome {
				if s.Object.GetName() >= tc.failing {
					return outcome{step: s, err: errors.New("refused")}
				}
				return outcome{step: s}
			})
			if len(outs) < tc.least || len(outs) > tc.most {
				t.Errorf("tried %d, want %d to %d", len(outs), tc.least, tc.most)
			}
			if !slices.IsSortedFunc(outs, func(a, b outcome) int { return strings.Compare(a.step.Object.GetName(), b.step.Object.GetName()) }) {
				t.Error("outcomes are not in the order of the steps")
			}
		})
	}
}

// TestSlowStartBarsOnlyItsBeginning: past the first batches a step that hangs holds nobody else up.
func TestSlowStartBarsOnlyItsBeginning(t *testing.T) {
	var others sync.WaitGroup
	others.Add(99 - 21 - 1)
	outs := slowStart(t.Context(), pods(99), func(_ context.Context, s Step) outcome {
		switch name := s.Object.GetName(); {
		case name == "p-21":
			others.Wait() // until every later one is done
		case name > "p-21":
			others.Done()
		}
		return outcome{step: s}
	})
	if len(outs) != 99 {
		t.Errorf("tried %d, want 99", len(outs))
	}
}
