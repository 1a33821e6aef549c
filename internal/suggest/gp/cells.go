// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gp

import (
	"cmp"
	"math"
	"slices"
)

// cell is a box of outcomes, by objective: below upper and at least lower, which
// may be minus infinity.
type cell struct{ lower, upper []float64 }

// cells divides the outcomes that would improve on a front, and are better than
// the reference, into boxes: slices between the front's values of the last
// objective, each divided by what of the front lies below it.
func cells(front [][]float64, reference []float64) []cell {
	last := len(reference) - 1
	if last == 0 {
		best := reference[0]
		for _, y := range front {
			best = min(best, y[0])
		}
		return []cell{{[]float64{math.Inf(-1)}, []float64{best}}}
	}
	front = undominated(front)
	slices.SortStableFunc(front, func(a, b []float64) int { return cmp.Compare(a[last], b[last]) })
	var all []cell
	from := math.Inf(-1)
	for i := range len(front) + 1 {
		to := reference[last]
		if i < len(front) {
			to = min(to, front[i][last])
		}
		if to > from {
			for _, c := range cells(first(last, front[:i]), reference[:last]) {
				all = append(all, cell{append(slices.Clip(c.lower), from), append(slices.Clip(c.upper), to)})
			}
			from = to
		}
	}
	return all
}

// first is outcomes by their first n objectives only.
func first(n int, outcomes [][]float64) [][]float64 {
	cut := make([][]float64, len(outcomes))
	for i, y := range outcomes {
		cut[i] = y[:n]
	}
	return cut
}

// undominated is the front of some outcomes, each outcome once.
func undominated(outcomes [][]float64) [][]float64 {
	var front [][]float64
	for i, y := range outcomes {
		beaten := false
		for j, o := range outcomes {
			beaten = beaten || i != j && covers(o, y) && (j < i || !covers(y, o))
		}
		if !beaten {
			front = append(front, y)
		}
	}
	return front
}

// covers says whether a is nowhere worse than b.
func covers(a, b []float64) bool {
	for k := range a {
		if a[k] > b[k] {
			return false
		}
	}
	return true
}

// mostFront is how many points of a front are told apart, by the number of
// objectives: the number of cells grows with that many to the power of one less.
func mostFront(objectives int) int {
	return []int{1, 1, 64, 16}[min(objectives, 3)] / max(1, objectives-2)
}

// thin is an even choice of n points of a front, by its first objective, with
// both of its ends.
func thin(front [][]float64, n int) [][]float64 {
	slices.SortStableFunc(front, func(a, b []float64) int { return cmp.Compare(a[0], b[0]) })
	if len(front) <= n {
		return front
	}
	var kept [][]float64
	for i := range n {
		kept = append(kept, front[i*(len(front)-1)/max(1, n-1)])
	}
	return kept
}
