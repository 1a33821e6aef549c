// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/kueue"
)

// queueLife is a Kueue that does what the dice say.
type queueLife struct {
	world kueue.World
	gone  bool
	made  int
}

// enterQueue lets every third job wait in a queue.
func (l *life) enterQueue() {
	if l.dice.roll(3) == 0 {
		l.queue = &queueLife{gone: l.dice.roll(4) == 0}
		l.job.Spec.Scheduling = &v1alpha1.Scheduling{Queue: "team-a"}
		if e := framework.ElasticOf(l.job); e != nil {
			e.MinReplicas = new(int32(1))
		}
	}
}

// checkQueue: no pod without quota, no quota given back while a pod holds it.
func (l *life) checkQueue(plan engine.Plan) {
	l.t.Helper()
	if l.queue == nil {
		return
	}
	for _, s := range plan.Create {
		if _, isPod := s.Object.(*corev1.Pod); isPod && !admitted(l.world()) {
			l.t.Fatalf("pod %s would run without quota", s.Object.GetName())
		}
	}
	holds := slices.ContainsFunc(l.pods, func(p corev1.Pod) bool { return !finished(&p) })
	for _, s := range plan.Patch {
		if w := l.patched(s); holds && w.Is(kueue.QuotaReserved) != l.queue.world.Workload.Is(kueue.QuotaReserved) || holds && w.Is(kueue.Finished) {
			l.t.Fatalf("quota would be given back while a pod holds it: %s", s.Data)
		}
	}
	for _, s := range plan.Delete {
		if _, isWorkload := s.Object.(*unstructured.Unstructured); isWorkload && holds {
			l.t.Fatal("the Workload would go while a pod holds quota")
		}
	}
}

// patched is the Workload after a patch.
func (l *life) patched(s engine.Step) *kueue.Workload {
	l.t.Helper()
	w := *l.queue.world.Workload
	if s.Subresource == "status" {
		w.Status.Conditions = nil
	} else {
		w.Spec.PodSets = nil
	}
	if err := json.Unmarshal(s.Data, &w); err != nil {
		l.t.Fatal(err)
	}
	return &w
}

func (l *life) carryOutQueue(plan engine.Plan) {
	l.t.Helper()
	for _, s := range plan.Patch {
		l.queue.world.Workload = l.patched(s)
	}
	for _, s := range plan.Delete {
		if w := l.queued(); w != nil && s.Object.GetUID() == w.UID {
			l.queue.world.Workload = nil
		}
	}
	for _, s := range plan.Create {
		u, isWorkload := s.Object.(*unstructured.Unstructured)
		if !isWorkload {
			continue
		}
		w, err := kueue.Read[kueue.Workload](u)
		if err != nil {
			l.t.Fatal(err)
		}
		l.queue.made++
		w.UID, w.ResourceVersion = types.UID(fmt.Sprintf("workload-%d", l.queue.made)), "1"
		l.queue.world.Workload = w
	}
}

// queued is the job's Workload, if it has one.
func (l *life) queued() *kueue.Workload {
	if l.queue == nil {
		return nil
	}
	return l.queue.world.Workload
}

func (l *life) set(kind string, status bool) {
	w := *l.queue.world.Workload
	w.Status.Conditions = slices.DeleteFunc(slices.Clone(w.Status.Conditions), func(c metav1.Condition) bool { return c.Type == kind })
	c := metav1.Condition{Type: kind, Status: no, Reason: pick(l.dice, "Preempted", "PodsReadyTimeout"), LastTransitionTime: metav1.NewTime(l.now)}
	if status {
		c.Status = yes
	}
	w.Status.Conditions = append(w.Status.Conditions, c)
	l.queue.world.Workload = &w
}

func (l *life) happenToQueue() {
	if l.queue == nil {
		return
	}
	if l.dice.roll(15) == 0 {
		l.queue.gone = !l.queue.gone
	}
	w := l.queued()
	if w == nil || l.queue.gone {
		return
	}
	switch roll := l.dice.roll(8); {
	case roll == 0:
		l.queue.world.Workload = nil // somebody deletes it
	case roll == 1:
		w := *w
		w.Spec.Active = new(!w.Active())
		l.queue.world.Workload = &w
	case roll < 4 && w.Is(kueue.Admitted) && !w.Is(kueue.Finished):
		l.set(kueue.Evicted, true)
	case roll >= 4:
		l.letIn()
	}
}

// letIn admits the job, in part where that may be.
func (l *life) letIn() {
	if l.queue == nil {
		return
	}
	w := l.queued()
	if w == nil || w.Is(kueue.Finished) || w.Is(kueue.QuotaReserved) {
		return
	}
	l.set(kueue.Evicted, false)
	l.set(kueue.QuotaReserved, true)
	l.set(kueue.Admitted, true)
	a := &kueue.Admission{ClusterQueue: "gpus"}
	for _, s := range w.Spec.PodSets {
		count := s.Count
		if s.MinCount != nil {
			count = *s.MinCount + int32(l.dice.roll(int(s.Count-*s.MinCount)+1))
		}
		a.PodSetAssignments = append(a.PodSetAssignments, kueue.Assignment{Name: s.Name, Count: &count})
	}
	l.queue.world.Workload.Status.Admission = a
}

// admitAtLast ends all that keeps the job waiting.
func (l *life) admitAtLast() {
	if l.queue == nil {
		return
	}
	l.queue.gone = false
	if w := l.queued(); w != nil {
		fresh := *w
		fresh.Spec.Active = nil
		l.queue.world.Workload = &fresh
	}
}
