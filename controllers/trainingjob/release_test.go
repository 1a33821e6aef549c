// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// guarded makes a job of three pods whose gang has so many seconds, and places the first.
func (b *bench) guarded(timeout int32, live func()) {
	b.t.Helper()
	b.create(func(j *v1alpha1.TrainingJob) {
		j.Spec.Scheduling = &v1alpha1.Scheduling{Gang: &v1alpha1.Gang{Scheduler: v1alpha1.GangGuard, TimeoutSeconds: &timeout}}
		for i := range j.Spec.Roles {
			j.Spec.Roles[i].Template.Spec.TerminationGracePeriodSeconds = new(int64(0))
		}
	})
	live()
	first := b.pods()[0]
	node := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "node-1"}}
	if err := b.SubResource("binding").Create(b.t.Context(), &first, node); err != nil {
		b.t.Fatal(err)
	}
}

// A gang that holds a node and waits is looked at again and again, and asks the API server nothing.
func TestAWaitingGangAsksNothing(t *testing.T) {
	b := newBench(t)
	b.guarded(600, func() { b.passes(map[string]int{}) })
	b.passes(map[string]int{})
	b.want(v1alpha1.ConditionScheduled, unknown, v1alpha1.ReasonWaitingForScheduler)
	b.requests.Reset()
	for range 5 {
		again, err := b.pass("digits")
		if err != nil || again <= 0 || again > 10*time.Minute/looks {
			t.Fatalf("it looks again in %s, %v", again, err)
		}
		b.clock.SetTime(b.clock.Now().Add(time.Second))
	}
	if n := b.requests.Requests(); len(n) > 0 {
		t.Errorf("it asks %v", n)
	}
}

// A gang is released while the manager dies before or after each of its writes. However it dies, the release is counted once, and
// every replica has one pod of the next attempt in the end.
func TestAReleaseIsCountedOnce(t *testing.T) {
	for k := int64(1); k <= 8; k++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("at write %d, done %v", k, after), func(t *testing.T) {
				t.Parallel()
				releaseAt(t, k, after)
			})
		}
	}
}

func releaseAt(t *testing.T, k int64, after bool) {
	b := newBench(t)
	healthy := b.WithWatch
	live := func() {
		for range 12 {
			if _, err := b.pass("digits"); err != nil && !apierrors.IsConflict(err) {
				b.start(healthy)
			}
			b.clock.SetTime(b.clock.Now().Add(time.Second))
		}
	}
	b.guarded(60, live)
	b.start(faulty(healthy, k, after))
	live()
	b.clock.SetTime(b.clock.Now().Add(time.Minute))
	live()
	b.clock.SetTime(b.clock.Now().Add(20 * time.Second))
	live()
	job := b.job("digits")
	if job.Status.Gang.Releases != 1 || job.Status.RestartCount != 0 {
		t.Fatalf("the release was not counted once: %+v, %d restarts", job.Status.Gang, job.Status.RestartCount)
	}
	pods := b.pods()
	for _, p := range pods {
		if p.Labels[names.Attempt] != "1" {
			t.Errorf("pod %s is of attempt %s, want 1", p.Name, p.Labels[names.Attempt])
		}
	}
	if len(pods) != 3 {
		t.Errorf("there are %d pods, want 3", len(pods))
	}
}
