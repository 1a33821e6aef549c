// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggestion

import (
	"strconv"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/study"
	"github.com/millrace-ml/millrace/internal/suggest"
)

// World is what a Suggestion is reported from.
type World struct {
	// Trials are those of the experiment it records; Missing is true where there is no such experiment, Over when it has ended.
	Trials        []v1alpha1.Trial
	Missing, Over bool
	// Answer is what a search of its own says; Searching is true while it has no answer.
	Answer    study.Result
	Searching bool
}

// studyOf is a search of its own with its proposals so far. All results there are count for the next one: the client decides
// when it asks.
func studyOf(s *v1alpha1.Suggestion) (study.Study, []suggest.Fault) {
	problem, faults := study.ProblemOf(*s.Spec.Search, s.Namespace, s.Name)
	made := study.Study{Problem: problem, Objectives: s.Spec.Search.Objectives}
	results := map[int32]v1alpha1.ProposalResult{}
	for _, r := range s.Spec.Results {
		results[r.Proposal] = r
	}
	told := 0
	for _, p := range s.Status.Proposals {
		r := study.Record{
			Name: strconv.Itoa(int(p.Proposal)), Index: int(p.Proposal), Proposal: int(p.Proposal),
			Assignment: study.AssignmentOf(p.Assignments), Labels: p.Labels,
		}
		if result, ended := results[p.Proposal]; ended {
			r.Phase, r.Metrics = v1alpha1.PhaseSucceeded, result.Values
			if len(result.Values) == 0 {
				r.Phase = v1alpha1.PhaseFailed
			}
		}
		for ; p.Results != nil && told < int(*p.Results) && told < len(s.Spec.Results); told++ {
			r.Follows = append(r.Follows, int(s.Spec.Results[told].Proposal))
		}
		made.Records = append(made.Records, r)
	}
	return made, faults
}
