// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggestion

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/condition"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func outside(algorithm v1alpha1.AlgorithmName, count int32) *v1alpha1.Suggestion {
	s := &v1alpha1.Suggestion{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "outside"}}
	s.Spec.Count = count
	s.Spec.Search = &v1alpha1.Search{
		Objectives: []v1alpha1.Objective{{Metric: "loss", Direction: v1alpha1.Minimize}}, Algorithm: v1alpha1.Algorithm{Name: algorithm},
		Parameters: []v1alpha1.Parameter{{Name: "lr", Type: v1alpha1.ParameterDiscrete, Values: []string{"0.1", "0.2", "0.3"}}},
	}
	return s
}

// pass observes and reports as the manager does.
func pass(s *v1alpha1.Suggestion) {
	var w World
	made, faults := studyOf(s)
	if want := wanted(s, made, faults); want > 0 {
		w.Answer = made.Next(want, func() bool { return false })
	}
	Report(s, w, noon)
}

func TestAClientGetsAsManyProposalsAsItAsksFor(t *testing.T) {
	s := outside("Grid", 2)
	pass(s)
	if got := condition.Get(s, v1alpha1.ConditionReady); len(s.Status.Proposals) != 2 || got.Reason != v1alpha1.ReasonProposed {
		t.Fatalf("got %+v by %+v", s.Status.Proposals, got)
	}
	before := s.DeepCopy()
	pass(s)
	if diff := cmp.Diff(before.Status, s.Status); diff != "" {
		t.Errorf("a second look changes it:\n%s", diff)
	}
	s.Spec.Count = 9
	s.Spec.Results = []v1alpha1.ProposalResult{{Proposal: 2, Values: []v1alpha1.MetricValue{{Name: "loss", Value: "1"}}}, {Proposal: 1}}
	pass(s)
	pass(s)
	if got := condition.Get(s, v1alpha1.ConditionReady); len(s.Status.Proposals) != 3 || got.Reason != v1alpha1.ReasonSearchExhausted {
		t.Errorf("want the third point and no more, got %+v by %+v", s.Status.Proposals, got)
	}
	if known := s.Status.Proposals[2].Results; known == nil || *known != 2 {
		t.Errorf("the third proposal knows %v results, want 2", known)
	}
}

// The same object, answered in one process or in many, says the same.
func TestProposalsFollowFromTheObject(t *testing.T) {
	play := func() []string {
		s := outside("TPE", 0)
		s.Spec.Search.Parameters = []v1alpha1.Parameter{{Name: "lr", Type: v1alpha1.ParameterDouble, Min: "0", Max: "1"}}
		for i := range int32(20) {
			s.Spec.Count = i + 1
			pass(s)
			value := fmt.Sprint(float64(i) / 7)
			s.Spec.Results = append(s.Spec.Results, v1alpha1.ProposalResult{Proposal: i + 1, Values: []v1alpha1.MetricValue{{Name: "loss", Value: value}}})
		}
		var said []string
		for _, p := range s.Status.Proposals {
			said = append(said, *p.Assignments[0].Value)
		}
		return said
	}
	if diff := cmp.Diff(play(), play()); diff != "" {
		t.Error(diff)
	}
}

func TestASearchThatContradictsItselfIsTold(t *testing.T) {
	s := outside("Hyperband", 2)
	pass(s)
	c := condition.Get(s, v1alpha1.ConditionStalled)
	if c.Status != metav1.ConditionTrue || c.Reason != v1alpha1.ReasonInvalidSearch || !strings.HasPrefix(c.Message, "spec.search.") {
		t.Errorf("got %+v", c)
	}
}

func TestTheRecordOfAnExperimentIsWrittenTenAtATime(t *testing.T) {
	s := &v1alpha1.Suggestion{Spec: v1alpha1.SuggestionSpec{Experiment: "digits"}}
	var w World
	for i := range int32(127) {
		trial := v1alpha1.Trial{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("digits-", i+1)}}
		trial.Spec.Proposal, trial.Spec.Why, trial.Spec.Results = i+1, "drawn at random", &i
		w.Trials = append(w.Trials, trial)
	}
	Report(s, w, noon)
	if *s.Status.Proposed != 120 || len(s.Status.Proposals) != recorded || s.Status.Proposals[0].Proposal != 71 {
		t.Errorf("got %d proposals of %d, from %d on", len(s.Status.Proposals), *s.Status.Proposed, s.Status.Proposals[0].Proposal)
	}
	w.Over = true
	Report(s, w, noon)
	if *s.Status.Proposed != 127 || len(s.Status.Proposals) != recorded {
		t.Errorf("at the end: %d proposals of %d", len(s.Status.Proposals), *s.Status.Proposed)
	}
	w.Trials = w.Trials[100:] // the others were put away
	Report(s, w, noon)
	first := s.Status.Proposals[0]
	if len(s.Status.Proposals) != recorded || first.Proposal != 78 || *s.Status.Proposals[recorded-1].Results != 126 || *first.Results != 77 {
		t.Errorf("when trials are put away: %d proposals, from %d with %d results on", len(s.Status.Proposals), first.Proposal, *first.Results)
	}
}
