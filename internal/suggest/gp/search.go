// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gp

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Evidence is what finished trials said, in the order in which they did.
type Evidence struct {
	Points [][]float64 // snapped
	// Losses are, by point, the values of the objectives, finite and the smaller
	// the better; nil is a failure. One at least is not.
	Losses [][]float64
	// Reference is the worst loss of interest by objective, NaN where that is to
	// be chosen from the evidence. It matters with several objectives only.
	Reference []float64
}

// Search proposes points from evidence.
type Search struct {
	space    Space
	believed [][]float64 // pending points
	rule     Rule
	trust    view
	doubt    view
	works    *model      // whether trials fail, 0 is no and 1 is yes; nil when none has
	near     [][]float64 // the best points
}

// New fits models to evidence. Rule, one of Rules, is the acquisition function of
// a single objective.
func New(space Space, rule Rule, e Evidence) *Search {
	s, known := &Search{space: space, rule: rule}, e.chosen()
	apart := pairs(space.Axes, known.Points)
	for k := range known.Losses[0] {
		m, doubt := train(space.Axes, known.Points, known.objective(k), apart)
		s.trust.models, s.doubt.models = append(s.trust.models, m), append(s.doubt.models, doubt)
	}
	order := known.best()
	for _, i := range order[:min(5, len(order))] {
		s.near = append(s.near, known.Points[i])
	}
	s.trust.rank(known)
	s.doubt.rank(known)
	if fails := e.failures(); fails != nil {
		s.learn(known.Points, fails)
	}
	return s
}

// learn makes a model of what works. Where failures are certain to it, the other
// models are told of values in the middle of what they know, or else they would
// promise ever more the further from what works.
func (s *Search) learn(points, failed [][]float64) {
	all, values := append(slices.Clone(points), failed...), make([]float64, len(points)+len(failed))
	for i := range failed {
		values[len(points)+i] = 1
	}
	s.works, _ = train(s.space.Axes, all, values, pairs(s.space.Axes, all))
	for _, x := range failed {
		certain := 1 - math.Exp(s.works.success(s.works.at(x, slope{})).value)
		for _, m := range slices.Concat(s.trust.models, s.doubt.models) {
			m.add(x, certain*max(m.mean-m.at(x, slope{}).mean, 0))
		}
	}
}

// Believe takes a pending point for a trial that will bring a little less than is expected.
func (s *Search) Believe(point []float64) {
	s.believed = append(s.believed, point)
	s.trust.believe(point)
	s.doubt.believe(point)
}

// Options are how a point is chosen.
type Options struct {
	// Bold looks where the models may be wrong, for an improvement that matters: it
	// leaves polishing what is good to others.
	Bold bool
	// Climb improves the best random candidates by local search.
	Climb bool
}

// polished is the expected improvement, in units of the spread of the values,
// below which what is good is good enough, and every proposal is bold.
const polished = 1e-4

// Propose is the coordinates, before they are snapped, of the point that promises
// most. It is false when no point was found that may be proposed.
func (s *Search) Propose(r *rand.Rand, o Options) ([]float64, bool) {
	h := hunt{Space: s.apart(), random: r, near: s.near}
	if !o.Bold {
		h.acquisition = s.trust.acquisition(s, 0)
		c, ok := h.run(o.Climb)
		if !ok || len(s.trust.models) > 1 || c.score > math.Log(polished*s.trust.spread) {
			return c.raw, ok
		}
	}
	h.acquisition = s.doubt.acquisition(s, 0.1)
	c, ok := h.run(o.Climb)
	return c.raw, ok
}

// same is how near, on every axis, a pending point is the same for any purpose:
// until its result is there, nothing is to be learned beside it.
const same = 0.002

// apart is the space without what is pending.
func (s *Search) apart() Space {
	return Space{s.space.Axes, func(raw, point []float64) bool {
		return s.space.Snap(raw, point) &&
			!slices.ContainsFunc(s.believed, func(x []float64) bool { return s.space.beside(point, x, same) })
	}}
}

// limit is how many points a model is made of at most.
const limit = 256

// chosen is the evidence of success that models are made of: all of it or, of
// more than limit, half of that the best and the rest an even choice of the others.
func (e Evidence) chosen() Evidence {
	order := e.best()
	if len(order) > limit {
		rest := order[limit/2:]
		slices.Sort(rest)
		order = append(order[:limit/2:limit/2], even(rest, limit/2)...)
	}
	slices.Sort(order)
	out := Evidence{Reference: e.Reference}
	for _, i := range order {
		out.Points, out.Losses = append(out.Points, e.Points[i]), append(out.Losses, e.Losses[i])
	}
	return out
}

// best is the indices of the successes, best first: by the best rank that each
// has in an objective.
func (e Evidence) best() []int {
	var all []int
	for i, l := range e.Losses {
		if l != nil {
			all = append(all, i)
		}
	}
	if len(all) == 0 {
		return nil
	}
	ranks := make([]int, len(e.Losses))
	for k := range e.Losses[all[0]] {
		sorted := slices.Clone(all)
		slices.SortStableFunc(sorted, func(a, b int) int { return cmp.Compare(e.Losses[a][k], e.Losses[b][k]) })
		for rank, i := range sorted {
			if k == 0 || rank < ranks[i] {
				ranks[i] = rank
			}
		}
	}
	slices.SortStableFunc(all, func(a, b int) int { return cmp.Compare(ranks[a], ranks[b]) })
	return all
}

// objective is the losses of one objective.
func (e Evidence) objective(k int) []float64 {
	values := make([]float64, len(e.Losses))
	for i, l := range e.Losses {
		values[i] = l[k]
	}
	return values
}

// failures are the points that failed, or an even choice of many.
func (e Evidence) failures() [][]float64 {
	var all [][]float64
	for i, l := range e.Losses {
		if l == nil {
			all = append(all, e.Points[i])
		}
	}
	return even(all, limit/2)
}

// even is n of the elements, evenly spaced, or all when there are no more.
func even[T any](all []T, n int) []T {
	if len(all) <= n {
		return all
	}
	kept := make([]T, n)
	for i := range kept {
		kept[i] = all[i*len(all)/n]
	}
	return kept
}
