// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

func TestTheBudgetIsUsedUp(t *testing.T) {
	e := search("Random", 2, 0)
	e.Spec.Budget = []v1alpha1.ResourceHours{{Resource: "memory", Hours: "1000"}, {Resource: "nvidia.com/gpu", Hours: "20"}}
	l := newLife(t, e)
	l.pass(all)
	use := func(name string, gpus string) {
		t.Helper()
		l.run(name)
		l.find(name).Status.Requests = []v1alpha1.ResourceRequest{
			{Resource: "memory", Quantity: new(resource.MustParse("2Gi"))}, {Resource: "nvidia.com/gpu", Quantity: new(resource.MustParse(gpus))},
		}
	}
	usedOf := func(want ...string) {
		t.Helper()
		var got []string
		for _, u := range l.e.Status.Used {
			got = append(got, u.Resource+"="+u.Hours)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("used (-want +got):\n%s", diff)
		}
	}
	use("digits-1", "8")
	use("digits-2", "2")
	if plan := l.pass(all); plan.Again != 2*time.Hour+time.Millisecond {
		t.Errorf("it looks again in %s", plan.Again)
	}
	usedOf("memory=0", "nvidia.com/gpu=0")
	l.now = noon.Add(time.Hour)
	l.finish("digits-1", v1alpha1.PhaseSucceeded, "1")
	l.pass(all)
	use("digits-3", "1")
	// 20 - 8 - 2 are left, of which three devices are held.
	if plan := l.pass(all); plan.Again < 199*time.Minute || plan.Again > 200*time.Minute {
		t.Errorf("it looks again in %s", plan.Again)
	}
	usedOf("memory=2.001", "nvidia.com/gpu=8.003")
	l.now = l.now.Add(200 * time.Minute)
	l.pass(all)
	l.wantPhase(v1alpha1.PhaseSucceeded, v1alpha1.ReasonBudgetUsedUp)
	if len(l.active()) > 0 {
		t.Errorf("%v still run", l.active())
	}
	l.pass(all)
	l.remove(l.find("digits-2")) // gives nothing back
	l.now = l.now.Add(time.Hour)
	l.pass(all)
	l.wantPhase(v1alpha1.PhaseSucceeded, v1alpha1.ReasonBudgetUsedUp)
	usedOf("memory=17.337", "nvidia.com/gpu=20.005")
	e.Spec.Budget[1].Hours = "21"
	l.pass(all)
	l.pass(all)
	l.wantPhase(v1alpha1.PhaseRunning, v1alpha1.ReasonInProgress)
	if len(l.active()) != 2 {
		t.Errorf("after it was raised %v run", l.active())
	}
	e.Spec.Budget = e.Spec.Budget[1:]
	l.pass(all)
	usedOf("nvidia.com/gpu=20.005")
}

// TestASuspendedExperimentEndsInTime: its running trials go on to use time and budget, and nothing else would wake it.
func TestASuspendedExperimentEndsInTime(t *testing.T) {
	e := search("Random", 2, 0)
	e.Spec.MaxDurationSeconds = 7200
	l := newLife(t, e)
	l.pass(all)
	e.Spec.Suspend = new(true)
	if plan := l.pass(all); plan.Again != 2*time.Hour {
		t.Errorf("it looks again in %s for its time", plan.Again)
	}
	e.Spec.Budget = []v1alpha1.ResourceHours{{Resource: v1alpha1.ResourceTrials, Hours: "2"}}
	l.run("digits-1")
	l.run("digits-2")
	plan := l.pass(all)
	if plan.Again != time.Hour+time.Millisecond {
		t.Errorf("it looks again in %s for its budget", plan.Again)
	}
	l.wantPhase(v1alpha1.PhaseSuspended, v1alpha1.ReasonInProgress)
	l.now = l.now.Add(plan.Again)
	l.pass(all)
	l.wantPhase(v1alpha1.PhaseFailed, v1alpha1.ReasonNoTrialSucceeded)
}

// TestDeletedTrialsGiveNothingBack: all are deleted, those that run when the budget is used up too, and an hour more is an hour.
func TestDeletedTrialsGiveNothingBack(t *testing.T) {
	e := search("Random", 2, 0)
	e.Spec.Budget = []v1alpha1.ResourceHours{{Resource: v1alpha1.ResourceTrials, Hours: "2"}}
	e.Spec.AtEnd = v1alpha1.AtEndFinish
	l := newLife(t, e)
	removeAll := func() {
		for len(l.w.Trials) > 0 {
			l.remove(&l.w.Trials[0])
		}
	}
	left := func(want time.Duration) {
		t.Helper()
		l.pass(all)
		for _, name := range l.active() {
			l.run(name)
		}
		if got := l.pass(all).Again * 2; got.Round(time.Minute) != want {
			t.Errorf("%s are left, want %s (%+v of %+v)", got, want, l.e.Status.Counted, l.e.Spec.Budget)
		}
	}
	left(2 * time.Hour)
	l.now = l.now.Add(30 * time.Minute)
	l.finish("digits-1", v1alpha1.PhaseSucceeded, "1")
	l.finish("digits-2", v1alpha1.PhaseSucceeded, "1")
	l.pass(all)
	removeAll()
	left(time.Hour)
	l.now = l.now.Add(30 * time.Minute)
	l.pass(all)
	l.wantPhase(v1alpha1.PhaseFailed, v1alpha1.ReasonNoTrialSucceeded)
	removeAll() // they ran when it ended
	l.pass(all)
	for _, hours := range []string{"3", "4"} {
		e.Spec.Budget[0].Hours = hours
		left(time.Hour)
		l.now = l.now.Add(30 * time.Minute)
		l.pass(all)
		l.wantPhase(v1alpha1.PhaseFailed, v1alpha1.ReasonNoTrialSucceeded)
		removeAll()
		l.pass(all)
	}
}
