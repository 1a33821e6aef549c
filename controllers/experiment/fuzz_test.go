// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"fmt"
	"math/rand/v2"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/condition"
)

// dice turns fuzzing bytes into choices.
type dice []byte

func (d *dice) roll(n int) int {
	if len(*d) == 0 {
		return 0
	}
	v := int((*d)[0]) % n
	*d = (*d)[1:]
	return v
}

func pick[T any](d *dice, from ...T) T { return from[d.roll(len(from))] }

// FuzzPlan plays experiments with everything that can happen to them, and holds each pass to what must always be so.
func FuzzPlan(f *testing.F) {
	for _, seed := range []string{"", "\x01\x02\x03\x04\x05\x06\x07\x08\x09", "experiments are played by dice", "\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\x00\x00"} {
		f.Add([]byte(seed))
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		seed := make([]byte, 400)
		for i := range seed {
			seed[i] = byte(random.IntN(256))
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := dice(data)
		e := search(pick[v1alpha1.AlgorithmName](&d, "Random", "TPE", "Grid", "Sobol"), int32(1+d.roll(5)), int32(d.roll(12)))
		if e.Spec.Algorithm.Name == "Grid" {
			e.Spec.Parameters = []v1alpha1.Parameter{{Name: "lr", Type: v1alpha1.ParameterDiscrete, Values: []string{"0.1", "0.2", "0.3"}}}
		}
		e.Spec.AtEnd, e.Spec.Resume = pick(&d, v1alpha1.AtEndStop, v1alpha1.AtEndFinish), pick(&d, v1alpha1.ResumeWhenRaised, v1alpha1.ResumeNever)
		e.Spec.MaxFailedTrials = pick(&d, nil, new(int32(0)), new(int32(2)))
		e.Spec.Objectives[0].Goal = pick(&d, "", "0.1")
		e.Spec.Budget = pick(&d, nil, []v1alpha1.ResourceHours{{Resource: v1alpha1.ResourceTrials, Hours: "0.05"}})
		l := newLife(t, e)
		for range 60 {
			l.step(&d)
		}
	})
}

// step lets something happen, and looks.
func (l *life) step(d *dice) {
	l.t.Helper()
	active := l.active()
	switch what := d.roll(8); {
	case what < 4 && len(active) > 0:
		phase := pick(d, v1alpha1.PhaseSucceeded, v1alpha1.PhaseSucceeded, v1alpha1.PhaseFailed, v1alpha1.PhaseMetricsUnavailable)
		l.finish(active[d.roll(len(active))], phase, map[bool]string{true: pick(d, "1", "0.5", "0.05", "NaN")}[phase == v1alpha1.PhaseSucceeded])
	case what == 4 && len(l.w.Trials) > 0:
		l.remove(&l.w.Trials[d.roll(len(l.w.Trials))])
	case what == 5:
		l.e.Spec.ParallelTrials = int32(1 + d.roll(6))
	case what == 6:
		l.e.Spec.Suspend = new(d.roll(2) == 0)
	case len(active) > 0:
		l.run(active[d.roll(len(active))])
	}
	before, there := l.e.DeepCopy(), len(l.active())
	plan := l.pass(pick(d, all, all, 1, 0))
	l.check(before, there, len(plan.Delete))
}

// checkBudget holds a pass to what must always be so of a budget.
func (l *life) checkBudget(before *v1alpha1.Experiment) {
	l.t.Helper()
	over := condition.Decided(before, v1alpha1.ConditionSucceeded) && condition.Get(before, v1alpha1.ConditionSucceeded).Reason == v1alpha1.ReasonBudgetUsedUp
	if over && !condition.Decided(l.e, v1alpha1.ConditionSucceeded) {
		l.t.Fatalf("the budget was used up, and is not any more: %v, then %v", before.Status.Used, l.e.Status.Used)
	}
	for _, u := range before.Status.Used {
		if hoursOf(l.e.Status.Used, u.Resource) < hoursOf(before.Status.Used, u.Resource) {
			l.t.Fatalf("what was used falls: %v, then %v", before.Status.Used, l.e.Status.Used)
		}
	}
}

// check holds a pass to what must always be so.
func (l *life) check(before *v1alpha1.Experiment, there, deleted int) {
	l.t.Helper()
	if now := len(l.active()); now > max(there, int(l.e.Spec.ParallelTrials)) {
		l.t.Fatalf("%d trials at once, and spec.parallelTrials is %d", now, l.e.Spec.ParallelTrials)
	}
	if most := l.e.Spec.MaxTrials; most > 0 && len(l.w.Trials) > int(most) {
		l.t.Fatalf("%d trials of %d", len(l.w.Trials), most)
	}
	if deleted > 0 {
		l.t.Fatalf("%d trials are deleted", deleted)
	}
	l.checkBudget(before)
	taken := map[string]bool{}
	for i := range l.w.Trials {
		for _, key := range []string{l.w.Trials[i].Name, fmt.Sprint("proposal ", l.w.Trials[i].Spec.Proposal)} {
			if taken[key] {
				l.t.Fatalf("two of %s", key)
			}
			taken[key] = true
		}
	}
	ended := condition.Get(before, v1alpha1.ConditionSucceeded)
	if ended.Reason == v1alpha1.ReasonGoalReached && !gocmp.Equal(ended, condition.Get(l.e, v1alpha1.ConditionSucceeded)) {
		l.t.Fatalf("the goal was reached, and is not any more: %+v", condition.Get(l.e, v1alpha1.ConditionSucceeded))
	}
	if best := l.e.Status.Best; best != nil && best.Metrics[0].Value == "NaN" {
		l.t.Fatal("NaN wins")
	}
	// What was planned is planned no more once it is done.
	again := Plan(l.e, l.look(), l.now)
	for _, s := range again.Create {
		if _, isTrial := s.Object.(*v1alpha1.Trial); isTrial && taken[s.Object.GetName()] {
			l.t.Fatalf("%s is made twice", s.Object.GetName())
		}
	}
}
