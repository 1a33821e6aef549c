// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/kueue"
)

// noRequests runs passes, of which none may send anything.
func (b *bench) noRequests() {
	b.t.Helper()
	b.requests.Reset()
	for range 3 {
		if _, err := b.pass("digits"); err != nil {
			b.t.Fatal(err)
		}
	}
	if n := len(b.requests.Requests()); n != 0 {
		b.t.Fatalf("a pass in steady state sends %v", b.requests.Total())
	}
}

// anew makes the bench's job once more, as another cluster's or for one.
func (b *bench) anew(edit func(*v1alpha1.TrainingJob)) {
	b.t.Helper()
	if err := b.Delete(b.t.Context(), b.job("digits")); err != nil {
		b.t.Fatal(err)
	}
	b.create(func(j *v1alpha1.TrainingJob) {
		j.Spec.Scheduling = &v1alpha1.Scheduling{Queue: "team-a"}
		edit(j)
	})
}

func TestAJobForAnotherClusterKeepsTheStatusItHasThere(t *testing.T) {
	b := newQueueBench(t)
	b.anew(func(j *v1alpha1.TrainingJob) { j.Spec.ManagedBy = kueue.MultiKueue })
	b.quiet()
	b.want(v1alpha1.ConditionScheduled, unknown, v1alpha1.ReasonQueuePending)
	if w := b.workload(); !metav1.IsControlledBy(w, b.job("digits")) {
		t.Fatal("MultiKueue finds the job by the Workload's owner")
	}
	b.admit()
	b.say(map[string]any{"clusterName": "far"}, [2]string{kueue.Evicted, "False"})
	job := b.job("digits")
	job.Status.Phase, job.Status.StartTime, job.Status.ObservedGeneration = v1alpha1.PhaseRunning, new(metav1.Now()), 7
	job.Status.Roles = []v1alpha1.RoleStatus{{Name: "Master", Replicas: new(int32(1)), Running: 1}}
	for i := range job.Status.Conditions {
		job.Status.Conditions[i].Message = "copied"
	}
	if err := b.Status().Update(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	b.noRequests()
	if diff := cmp.Diff(job, b.job("digits")); diff != "" {
		t.Errorf("the copied status was written to (-copied +now):\n%s", diff)
	}
	b.say(nil, [2]string{kueue.Evicted, "True"})
	b.noRequests()
	if !b.workload().Is(kueue.QuotaReserved) {
		t.Fatal("quota was given back while the job runs elsewhere")
	}
	job.Status.StartTime = nil
	if err := b.Status().Update(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	b.quiet()
	if b.workload().Is(kueue.QuotaReserved) {
		t.Fatal("quota is held by a job that has no pods anywhere")
	}
	b.want(v1alpha1.ConditionScheduled, no, v1alpha1.ReasonQueuePending)
	if n := len(b.pods()); n != 0 {
		t.Errorf("%d pods were made here", n)
	}
}

func TestAJobFromAnotherClusterTakesOverItsWorkload(t *testing.T) {
	b := newQueueBench(t)
	b.quiet()
	made := b.workload()
	b.anew(func(j *v1alpha1.TrainingJob) {
		j.Labels = map[string]string{kueue.PrebuiltLabel: "sent", kueue.OriginLabel: "hub"}
	})
	b.quiet()
	b.want(v1alpha1.ConditionScheduled, no, v1alpha1.ReasonQueuePending)
	sent := (&kueue.Workload{ObjectMeta: metav1.ObjectMeta{Name: "sent", Namespace: b.namespace}, Spec: made.Spec}).Object()
	if err := b.Create(t.Context(), sent); err != nil {
		t.Fatal(err)
	}
	wakes := jobsOfWorkload(b)(t.Context(), sent)
	if want := []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(b.job("digits"))}}; !cmp.Equal(wakes, want) {
		t.Errorf("the Workload wakes %v, want %v", wakes, want)
	}
	b.quiet()
	if err := b.Get(t.Context(), client.ObjectKeyFromObject(sent), sent); err != nil {
		t.Fatal(err)
	}
	if !metav1.IsControlledBy(sent, b.job("digits")) || sent.GetLabels()[kueue.OwnerLabel] != string(b.job("digits").UID) {
		t.Fatalf("the Workload is %v's", sent.GetOwnerReferences())
	}
	if got := b.job("digits").Status.Queue; got.Workload != "sent" || got.State != v1alpha1.QueuePending {
		t.Errorf("the job stands in the queue as %+v", got)
	}
	b.noRequests()
}

func TestAJobForAnotherClusterNeedsAQueue(t *testing.T) {
	b := newBench(t)
	b.create(nil)
	job := &v1alpha1.TrainingJob{ObjectMeta: metav1.ObjectMeta{Name: "sent", Namespace: b.namespace}, Spec: b.job("digits").Spec}
	job.Spec.ManagedBy = kueue.MultiKueue
	if err := b.Create(t.Context(), job); !apierrors.IsInvalid(err) {
		t.Errorf("got %v, want it refused", err)
	}
}
