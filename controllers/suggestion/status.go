// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggestion

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/study"
	"github.com/millrace-ml/millrace/internal/suggest"
)

// Bounds of a record: how many proposals it has, and how many are written at once. A write for each would be one for each trial.
const (
	recorded = 50
	atOnce   = 10
)

// Plan of a Suggestion is empty: it makes nothing.
func Plan(*v1alpha1.Suggestion, World, time.Time) engine.Plan { return engine.Plan{} }

// Report writes proposals into the status. It is pure.
func Report(s *v1alpha1.Suggestion, w World, _ time.Time) {
	if s.Spec.Search == nil {
		reportRecord(s, w)
		return
	}
	_, faults := studyOf(s)
	if faults = append(faults, w.Answer.Faults...); len(faults) > 0 {
		said := make([]string, len(faults))
		for i, f := range faults {
			said[i] = "spec.search." + f.String()
		}
		say(s, metav1.ConditionFalse, v1alpha1.ReasonInvalidSearch, strings.Join(said, "; ")+".")
		return
	}
	if w.Answer.From == len(s.Status.Proposals) {
		for _, f := range w.Answer.Found {
			s.Status.Proposals = append(s.Status.Proposals, proposal(s, f))
		}
		s.Status.Exhausted = clip(w.Answer.Exhausted, 1024)
	}
	s.Status.Proposed = new(int32(len(s.Status.Proposals)))
	reportSearch(s, w)
}

func reportSearch(s *v1alpha1.Suggestion, w World) {
	have, want := len(s.Status.Proposals), int(s.Spec.Count)
	switch {
	case have >= want:
		say(s, metav1.ConditionTrue, v1alpha1.ReasonProposed, fmt.Sprintf("There are %d proposals.", have))
	case s.Status.Exhausted != "":
		say(s, metav1.ConditionFalse, v1alpha1.ReasonSearchExhausted, fmt.Sprintf("There is nothing left to try: %s.", s.Status.Exhausted))
	case w.Searching:
		say(s, metav1.ConditionUnknown, v1alpha1.ReasonSearching, "Proposals are being worked out.")
	default:
		say(s, metav1.ConditionFalse, v1alpha1.ReasonWaitingForResults,
			fmt.Sprintf("There are %d proposals of %d: the next ones follow when spec.results has more.", have, want))
	}
}

func proposal(s *v1alpha1.Suggestion, f study.Found) v1alpha1.Proposal {
	return v1alpha1.Proposal{
		Proposal: int32(len(s.Status.Proposals) + 1), Assignments: study.Assignments(s.Spec.Search.Parameters, f.Assignment),
		Results: new(int32(f.Results)), Labels: f.Labels, Parent: f.Parent, Why: clip(f.Why, 256),
	}
}

func clip(text string, most int) string { return strings.ToValidUTF8(text[:min(len(text), most)], "") }

// reportRecord writes the last proposals of an experiment.
func reportRecord(s *v1alpha1.Suggestion, w World) {
	if w.Missing {
		say(s, metav1.ConditionFalse, v1alpha1.ReasonPending, fmt.Sprintf("spec.experiment: there is no Experiment %s.", s.Spec.Experiment))
		return
	}
	last, known := int32(0), map[int32]v1alpha1.Proposal{}
	for _, p := range append(s.Status.Proposals, proposed(w.Trials)...) { // those of trials that were put away stay
		known[p.Proposal] = p
		last = max(last, p.Proposal)
	}
	if !w.Over {
		last -= last % atOnce
	}
	s.Status.Proposals, s.Status.Proposed = nil, new(last)
	for _, n := range slices.Sorted(maps.Keys(known)) {
		if n > last-recorded && n <= last {
			s.Status.Proposals = append(s.Status.Proposals, known[n])
		}
	}
	say(s, metav1.ConditionTrue, v1alpha1.ReasonProposed, "The last proposals are recorded, ten at a time.")
}

// proposed are the proposals that trials were made of.
func proposed(trials []v1alpha1.Trial) []v1alpha1.Proposal {
	proposals := make([]v1alpha1.Proposal, len(trials))
	for i := range trials {
		spec := &trials[i].Spec
		proposals[i] = v1alpha1.Proposal{
			Proposal: spec.Proposal, Trial: trials[i].Name, Assignments: spec.Assignments, Labels: spec.Labels, Parent: spec.Parent, Why: spec.Why,
			Results: spec.Results,
		}
	}
	return proposals
}

// stuck are the reasons that only a change by somebody can mend.
var stuck = []string{v1alpha1.ReasonInvalidSearch, v1alpha1.ReasonSearchExhausted}

func say(s *v1alpha1.Suggestion, ready metav1.ConditionStatus, reason, message string) {
	stalled := slices.Contains(stuck, reason)
	condition.Set(s, v1alpha1.ConditionReady, ready, reason, message)
	condition.Set(s, v1alpha1.ConditionReconciling, condition.Truth(ready == metav1.ConditionUnknown), reason, message)
	if !stalled {
		reason, message = v1alpha1.ReasonHealthy, "Nothing stands in the way."
	}
	condition.Set(s, v1alpha1.ConditionStalled, condition.Truth(stalled), reason, message)
}

// wanted is how many proposals are still to be made.
func wanted(s *v1alpha1.Suggestion, made study.Study, faults []suggest.Fault) int {
	if len(faults) > 0 || s.Status.Exhausted != "" {
		return 0
	}
	return max(int(s.Spec.Count)-len(made.Records), 0)
}
