// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"cmp"
	"math"
	"slices"
)

// Best is the best trial of this search by its first objective; of equals, the
// one that finished first. It is false while no trial has succeeded.
func Best(p Problem, trials []Trial) (Trial, bool) {
	best, found, least := Trial{}, false, math.Inf(1)
	for i := range trials {
		t := &trials[i]
		if !p.usable(t) {
			continue
		}
		if l := p.Objectives[0].loss(t.Values[0]); l < least || found && l == least && finished(t) < finished(&best) {
			best, found, least = *t, true, l
		}
	}
	return best, found
}

// Pareto is the trials of this search that no other one beats in one objective
// without losing in another, by the first objective, best first. Of trials with
// the same values it has the one that finished first.
func Pareto(p Problem, trials []Trial) []Trial {
	var front []Trial
	for _, t := range successes(p, trials) {
		// What is beaten by a trial is beaten by the one that beats that too: the front so far is all there is to look at.
		if slices.ContainsFunc(front, func(o Trial) bool { return slices.Equal(o.Values, t.Values) || p.beats(o, t) }) {
			continue
		}
		front = append(slices.DeleteFunc(front, func(o Trial) bool { return p.beats(t, o) }), t)
	}
	slices.SortStableFunc(front, func(a, b Trial) int {
		return cmp.Compare(p.Objectives[0].loss(a.Values[0]), p.Objectives[0].loss(b.Values[0]))
	})
	return front
}

// usable says whether a trial is of this search and has a value of every objective.
func (p Problem) usable(t *Trial) bool {
	return !t.Prior && t.State == Succeeded && len(t.Values) == len(p.Objectives) &&
		!slices.ContainsFunc(t.Values, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
}

// beats says whether a trial is better than another in an objective and worse in none.
func (p Problem) beats(a, b Trial) bool {
	better := false
	for i, o := range p.Objectives {
		mine, other := o.loss(a.Values[i]), o.loss(b.Values[i])
		if mine > other {
			return false
		}
		better = better || mine < other
	}
	return better
}

// successes are the trials of this search with usable values, as they finished.
func successes(p Problem, trials []Trial) []Trial {
	var out []Trial
	for i := range trials {
		if p.usable(&trials[i]) {
			out = append(out, trials[i])
		}
	}
	slices.SortStableFunc(out, func(a, b Trial) int { return cmp.Compare(finished(&a), finished(&b)) })
	return out
}

// dominates says whether a is better than b somewhere and worse nowhere.
func dominates(a, b []float64) bool {
	better := false
	for i := range a {
		if a[i] > b[i] {
			return false
		}
		better = better || a[i] < b[i]
	}
	return better
}

// Hypervolume is the volume that the trials of this search dominate, up to the
// references of the objectives. Where an objective has none it is a tenth of the
// front's range beyond the front's worst value.
func Hypervolume(p Problem, trials []Trial) float64 {
	var front [][]float64
	for _, t := range Pareto(p, trials) {
		front = append(front, losses(p.Objectives, t.Values))
	}
	return hypervolume(front, reference(p.Objectives, front))
}

// reference is the worst loss of interest for each objective.
func reference(objectives []Objective, front [][]float64) []float64 {
	out := make([]float64, len(objectives))
	for i, o := range objectives {
		least, most := math.Inf(1), math.Inf(-1)
		for _, f := range front {
			least, most = min(least, f[i]), max(most, f[i])
		}
		switch {
		case o.Reference != nil:
			out[i] = o.loss(*o.Reference)
		case most > least:
			out[i] = most + 0.1*(most-least)
		default:
			out[i] = most + 0.1*max(math.Abs(most), 1)
		}
	}
	return out
}

// hypervolume is exact in any dimension, by the recursion of While, Bradstreet
// and Barone (WFG): what each point adds to those after it.
func hypervolume(points [][]float64, ref []float64) float64 {
	points = slices.DeleteFunc(slices.Clone(points), func(p []float64) bool { return !inside(p, ref) })
	slices.SortFunc(points, slices.Compare)
	if len(ref) == 2 {
		return area(points, ref)
	}
	total := 0.0
	for i, p := range points {
		total += volume(p, ref) - hypervolume(limited(points[i+1:], p), ref)
	}
	return total
}

func inside(p, ref []float64) bool {
	for i := range p {
		if p[i] >= ref[i] {
			return false
		}
	}
	return true
}

func volume(p, ref []float64) float64 {
	v := 1.0
	for i := range p {
		v *= ref[i] - p[i]
	}
	return v
}

// area sweeps points that are sorted by their first coordinate.
func area(points [][]float64, ref []float64) float64 {
	total, top := 0.0, ref[1]
	for _, p := range points {
		if p[1] < top {
			total += (ref[0] - p[0]) * (top - p[1])
			top = p[1]
		}
	}
	return total
}

// limited is what the points dominate of what p dominates: only the front of it.
func limited(points [][]float64, p []float64) [][]float64 {
	worse := make([][]float64, len(points))
	for i, q := range points {
		worse[i] = make([]float64, len(p))
		for j := range p {
			worse[i][j] = max(p[j], q[j])
		}
	}
	return nondominated(worse)
}

// nondominated keeps the points that no other one dominates, and one of equals.
func nondominated(points [][]float64) [][]float64 {
	var front [][]float64
	for i, p := range points {
		beaten := slices.ContainsFunc(points, func(q []float64) bool { return dominates(q, p) })
		again := slices.ContainsFunc(points[:i], func(q []float64) bool { return slices.Equal(p, q) })
		if !beaten && !again {
			front = append(front, p)
		}
	}
	return front
}
