// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/kueue"
)

// queueLife is a Kueue that does what the dice say.
type queueLife struct {
	playedKueue

	gone bool
}

// enterQueue lets every third job wait in a queue.
func (l *life) enterQueue() {
	if l.dice.roll(3) == 0 {
		l.queue = &queueLife{gone: l.dice.roll(4) == 0}
		l.job.Spec.Scheduling = &v1alpha1.Scheduling{Queue: "team-a"}
		if l.dice.roll(4) == 0 {
			l.job.Spec.Scheduling.Gang = &v1alpha1.Gang{Scheduler: v1alpha1.GangVolcano}
		}
		if e := framework.ElasticOf(l.job); e != nil {
			e.MinReplicas = new(int32(1))
		}
		l.crossClusters()
	}
}

// crossClusters lets some jobs run in another cluster, and makes others the copies of such jobs.
func (l *life) crossClusters() {
	switch l.dice.roll(4) {
	case 2:
		l.job.Spec.ManagedBy = kueue.MultiKueue
	case 3:
		l.job.Labels = map[string]string{kueue.PrebuiltLabel: "sent", kueue.OriginLabel: "hub"}
		w := kueue.Workload{ObjectMeta: metav1.ObjectMeta{Name: "sent", Namespace: "team", UID: "sent", ResourceVersion: "1"}, Spec: kueue.Spec{QueueName: "team-a"}}
		for _, r := range look(l.job, l.world(), l.now).workload().Spec.PodSets {
			w.Spec.PodSets = append(w.Spec.PodSets, kueue.PodSet{Name: r.Name, Count: r.Count + int32(l.dice.roll(8)/7), MinCount: r.MinCount})
		}
		l.queue.world.Prebuilt = &w
	}
}

// checkDispatched: a job that runs in another cluster has nothing here, and keeps its quota while it runs there and is heard of.
func (l *life) checkDispatched(plan engine.Plan) {
	l.t.Helper()
	if !dispatched(l.job) {
		return
	}
	for _, s := range plan.Create {
		if u, loose := s.Object.(*unstructured.Unstructured); !loose || u.GroupVersionKind() != kueue.WorkloadKind {
			l.t.Fatalf("%s would be made where the job does not run", s.Object.GetName())
		}
	}
	w := l.queued()
	if w == nil || !w.Is(kueue.Evicted) || ended(l.job) || suspended(l.job) || l.job.Status.StartTime == nil || !mirrored(l.job, l.world()) {
		return
	}
	c := w.Condition(kueue.Evicted)
	if len(plan.Patch) > 0 && c.Reason == "Preempted" && l.now.Before(c.LastTransitionTime.Add(lostAfter)) {
		l.t.Fatalf("quota would be given back while the job runs in another cluster: %s", plan.Patch[0].Data)
	}
}

// happenElsewhere lets Kueue send the job to another cluster, and copy the status it has there. What has ended stays so.
func (l *life) happenElsewhere() {
	w := l.queued()
	if !dispatched(l.job) || w == nil || !w.Is(kueue.QuotaReserved) || w.Is(kueue.Finished) || ended(l.job) {
		return
	}
	sent := *w
	sent.Status.ClusterName = new("far")
	if w.Is(kueue.Evicted) {
		sent.Status.ClusterName = nil
	}
	l.queue.world.Workload = &sent
	if phase := pick(l.dice, "", "", v1alpha1.PhasePending, v1alpha1.PhaseRunning, v1alpha1.PhaseRunning, v1alpha1.PhaseSucceeded); phase != "" {
		copied(l.job, phase, l.now)
	}
}

// checkQueue: no pod without quota, no quota given back while a pod holds it.
func (l *life) checkQueue(plan engine.Plan) {
	l.t.Helper()
	if l.queue == nil {
		return
	}
	l.checkDispatched(plan)
	for _, s := range plan.Create {
		if _, isPod := s.Object.(*corev1.Pod); isPod && !admitted(l.world()) && !queuesBeside(l.job, l.world()) {
			l.t.Fatalf("pod %s would run without quota", s.Object.GetName())
		}
	}
	holds := slices.ContainsFunc(l.pods, func(p corev1.Pod) bool { return !finished(&p) })
	for _, s := range plan.Patch {
		if w := l.queue.patched(l.t, s); holds && w.Is(kueue.QuotaReserved) != l.queue.world.Workload.Is(kueue.QuotaReserved) || holds && w.Is(kueue.Finished) {
			l.t.Fatalf("quota would be given back while a pod holds it: %s", s.Data)
		}
	}
	for _, s := range plan.Delete {
		if u, loose := s.Object.(*unstructured.Unstructured); loose && u.GroupVersionKind() == kueue.WorkloadKind && holds {
			l.t.Fatal("the Workload would go while a pod holds quota")
		}
	}
}

// checkQueueAtRest: nobody else can have the quota of a job that was evicted and keeps it.
func (l *life) checkQueueAtRest() {
	l.t.Helper()
	if w := l.queued(); w != nil && w.Is(kueue.QuotaReserved) && w.Is(kueue.Evicted) && !ended(l.job) {
		l.t.Fatal("at rest an evicted job holds its quota")
	}
}

// queued is the job's Workload, if it has one.
func (l *life) queued() *kueue.Workload {
	if l.queue == nil {
		return nil
	}
	return l.queue.world.Workload
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
	l.happenElsewhere()
	w = l.queued()
	switch roll := l.dice.roll(8); {
	case roll == 0:
		l.queue.world.Workload = nil // somebody deletes it
	case roll == 1:
		w := *w
		w.Spec.Active = new(!w.Active())
		l.queue.world.Workload = &w
	case roll < 4 && w.Is(kueue.Admitted) && !w.Is(kueue.Finished):
		l.queue.set(kueue.Evicted, yes, pick(l.dice, "Preempted", "PodsReadyTimeout", kueue.ByCheck), l.now)
	case roll >= 4:
		l.letIn()
	}
}

// letIn admits the job, in part where that may be.
func (l *life) letIn() {
	if l.queue != nil {
		l.queue.admit(l.now, func(least, most int32) int32 { return least + int32(l.dice.roll(int(most-least)+1)) })
	}
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
