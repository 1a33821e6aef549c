// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package study

import (
	"cmp"
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

// Order are the proposals that have ended, in the order in which they did: first those that others follow, whose order is settled by
// that, then the rest by time. Settled is how many the first are.
func Order(records []Record) (order []int, settled int) {
	ended, followed := map[int]Record{}, map[int]bool{}
	for _, r := range records {
		if r.Over() {
			ended[r.Proposal] = r
		}
	}
	for _, r := range records {
		for _, f := range r.Follows {
			if _, there := ended[f]; there && !followed[f] {
				order, followed[f] = append(order, f), true
			}
		}
	}
	settled = len(order)
	var rest []Record
	for _, r := range records {
		if r.Over() && !followed[r.Proposal] {
			rest = append(rest, r)
		}
	}
	slices.SortStableFunc(rest, func(a, b Record) int { return cmp.Or(a.Ended.Compare(b.Ended), cmp.Compare(a.Proposal, b.Proposal)) })
	for _, r := range rest {
		order = append(order, r.Proposal)
	}
	return order, settled
}

// Trials are all trials as algorithms see them, with those results that are among the first known of the order.
func (s Study) Trials(order []int, known int) []suggest.Trial {
	finished := map[int]int{}
	for i, proposal := range order[:known] {
		finished[proposal] = i + 1
	}
	trials := slices.Clone(s.Prior)
	for _, r := range s.Records {
		trials = append(trials, r.Trial(s.Objectives, finished[r.Proposal]))
	}
	return trials
}

// All are all trials with all results.
func (s Study) All() []suggest.Trial {
	order, _ := Order(s.Records)
	return s.Trials(order, len(order))
}

// Next proposes up to want trials. They are asked for one by one, each with the results that its place in the order gives it.
func (s Study) Next(want int, cancelled func() bool) Result {
	result := Result{From: len(s.Records)}
	if len(s.Records) == 0 {
		if result.Faults = suggest.Validate(s.Problem); len(result.Faults) > 0 {
			return result
		}
	}
	order, settled := Order(s.Records)
	known, told := settled, settled
	made := s.Trials(order, settled)
	for len(result.Found) < want && !cancelled() {
		made, known = s.learn(made, order, known, s.due(len(made)-len(s.Prior), len(order)))
		answer, err := suggest.Next(s.Problem, made, 1, cancelled)
		if err != nil {
			result.Faults = []suggest.Fault{{Path: "algorithm", Message: err.Error()}}
			return result
		}
		if len(answer.Proposals) == 0 {
			if known == len(order) || answer.Exhausted != "" || cancelled() {
				result.Exhausted = answer.Exhausted
				return result
			}
			made, known = s.learn(made, order, known, known+1)
			continue
		}
		p := answer.Proposals[0]
		result.Found = append(result.Found, Found{Proposal: p, Follows: slices.Clone(order[told:known]), Results: known})
		told = known
		made = append(made, suggest.Trial{Name: "next", Assignment: p.Assignment, Labels: p.Labels, State: suggest.Pending})
	}
	return result
}

// due is how many results the next proposal takes into account when there are so many trials: as few as there must be for it to have
// a place.
func (s Study) due(trials, ended int) int { return min(max(trials-s.Parallel+1, 0), ended) }

// learn tells results up to a number of them.
func (s Study) learn(made []suggest.Trial, order []int, known, upTo int) ([]suggest.Trial, int) {
	for ; known < upTo; known++ {
		for i, r := range s.Records {
			if r.Proposal == order[known] {
				made[len(s.Prior)+i] = r.Trial(s.Objectives, known+1)
			}
		}
	}
	return made, known
}
