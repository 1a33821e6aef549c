// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package study

import (
	"cmp"
	"maps"
	"slices"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/suggest"
)

// Study is a search and its trials so far.
type Study struct {
	Problem    suggest.Problem
	Objectives []v1alpha1.Objective
	// Records are all trials, by their proposals.
	Records []Record
	// Prior are results from elsewhere.
	Prior []suggest.Trial
	// Parallel is how many trials there are at once.
	Parallel int
	// Resources are those of which the use is summed up.
	Resources []string
}

// Result is what a search came to.
type Result struct {
	// From is the number of trials there were when it was asked.
	From int
	// Found are the next proposals, in their order.
	Found []Found
	// Exhausted says why there will be no more; empty when there may be.
	Exhausted string
	// Faults are what is wrong with the search.
	Faults []suggest.Fault
}

// Found is a proposal and the results it takes into account beside those that the ones before it did.
type Found struct {
	suggest.Proposal
	Follows []int
	// Results is how many results it takes into account in all.
	Results int
}

// Order are the indices of the records of trials that have ended, in the order in which they did: first those that others follow, whose
// order is settled by that, then the rest by time. Settled is how many the first are.
func Order(records []Record) (order []int, settled int) {
	at := map[int]int{} // those that have ended and are not in order yet, by proposal
	for i := range records {
		if records[i].Over() {
			at[records[i].Proposal] = i
		}
	}
	order = make([]int, 0, len(at))
	for i := range records {
		for _, f := range records[i].Follows {
			if k, there := at[f]; there {
				order = append(order, k)
				delete(at, f)
			}
		}
	}
	settled = len(order)
	order = append(order, slices.Collect(maps.Values(at))...)
	slices.SortFunc(order[settled:], func(i, k int) int {
		a, b := &records[i], &records[k]
		return cmp.Or(a.Ended.Compare(b.Ended), cmp.Compare(a.Proposal, b.Proposal))
	})
	return order, settled
}

// All are all trials with all results and curves.
func (s Study) All() []suggest.Trial {
	order, _ := Order(s.Records)
	trials := s.trials(order)
	for i := range s.Records {
		trials[len(s.Prior)+i].Curve = CurveOf(s.Records[i].Curve)
	}
	return trials
}

// trials are all trials as algorithms see them, with the results of those in an order.
func (s Study) trials(known []int) []suggest.Trial {
	finished := make([]int, len(s.Records))
	for i, k := range known {
		finished[k] = i + 1
	}
	trials := append(make([]suggest.Trial, 0, len(s.Prior)+len(s.Records)), s.Prior...)
	for i := range s.Records {
		trials = append(trials, s.Records[i].Trial(s.Objectives, finished[i]))
	}
	return trials
}

// Next proposes up to want trials. They are asked for one by one, each with the results that its place in the order gives it.
func (s Study) Next(want int, cancelled func() bool) Result {
	result := Result{From: len(s.Records)}
	if len(s.Records) == 0 {
		if result.Faults = suggest.Validate(s.Problem); len(result.Faults) > 0 {
			return result
		}
	}
	order, known := Order(s.Records)
	told := known
	session, err := suggest.Begin(s.Problem, s.trials(order[:known]))
	if err != nil {
		result.Faults = []suggest.Fault{{Path: "algorithm", Message: err.Error()}}
		return result
	}
	tell := func(upTo int) {
		for ; known < upTo; known++ {
			session.Tell(order[known], s.Records[order[known]].Trial(s.Objectives, known+1))
		}
	}
	for len(result.Found) < want && !cancelled() {
		tell(s.due(len(s.Records)+len(result.Found), len(order)))
		answer := session.Next(1, cancelled)
		if len(answer.Proposals) == 0 {
			if known == len(order) || answer.Exhausted != "" || cancelled() {
				result.Exhausted = answer.Exhausted
				return result
			}
			tell(known + 1)
			continue
		}
		result.Found = append(result.Found, Found{Proposal: answer.Proposals[0], Follows: s.proposals(order[told:known]), Results: known})
		told = known
	}
	return result
}

func (s Study) proposals(records []int) []int {
	var list []int
	for _, i := range records {
		list = append(list, s.Records[i].Proposal)
	}
	return list
}

// due is how many results the next proposal takes into account when there are so many trials: as few as there must be for it to have
// a place.
func (s Study) due(trials, ended int) int { return min(max(trials-s.Parallel+1, 0), ended) }
