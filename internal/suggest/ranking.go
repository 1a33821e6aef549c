// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"cmp"
	"math"
	"slices"
)

// maxBad is how many of the latest trials that are not good make a density. More
// of them change it little, and would make proposals slower and slower.
const maxBad = 1000

// split parts the facts into the best and the others, each in the order of
// completion. What failed counts as bad, and so does what is pending: a batch
// would otherwise be proposed at one place.
func split(facts []fact, gamma float64) (good, bad []fact) {
	order := ranking(facts)
	n := min(int(math.Ceil(gamma*float64(len(order)))), maxGood)
	best := map[int]bool{}
	for _, i := range order[:n] {
		best[i] = true
	}
	for i, f := range facts {
		if best[i] {
			good = append(good, f)
			continue
		}
		bad = append(bad, f)
	}
	return good, bad[max(0, len(bad)-maxBad):]
}

// ranking is the order of the facts with a loss, the best first: those that
// succeeded before those that were stopped, and of these the ones that came far.
func ranking(facts []fact) []int {
	var order []int
	for i, f := range facts {
		if f.loss != nil {
			order = append(order, i)
		}
	}
	rank := func(i int) float64 { return facts[i].loss[0] }
	if len(order) > 0 && len(facts[order[0]].loss) > 1 {
		ranks := fronts(facts, order)
		rank = func(i int) float64 { return ranks[i] }
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(
			cmp.Compare(btoi(facts[a].state == Stopped), btoi(facts[b].state == Stopped)),
			cmp.Compare(facts[b].step, facts[a].step),
			cmp.Compare(rank(a), rank(b)),
		)
	})
	return order
}

// fronts ranks by several objectives: by the front a point is on when those
// before it are taken away, and within one by what it adds to the hypervolume.
func fronts(facts []fact, of []int) map[int]float64 {
	ranks := map[int]float64{}
	for front := 0.0; len(of) > 0; front++ {
		var here, later []int
		for _, i := range of {
			if slices.ContainsFunc(of, func(j int) bool { return dominates(facts[j].loss, facts[i].loss) }) {
				later = append(later, i)
				continue
			}
			here = append(here, i)
		}
		for at, i := range spread(facts, here) {
			ranks[i] = front + float64(at)/float64(len(here)+1)
		}
		of = later
	}
	return ranks
}

// maxSpread is the largest front whose hypervolumes are worth their time.
const maxSpread = 50

// spread orders a front by what each point adds to the hypervolume of those
// before it, the most first.
func spread(facts []fact, front []int) []int {
	if len(front) > maxSpread || len(front) < 2 {
		return front
	}
	points := make([][]float64, len(front))
	for k, i := range front {
		points[k] = facts[i].loss
	}
	ref := reference(make([]Objective, len(points[0])), points)
	left, out, taken := slices.Clone(front), []int(nil), [][]float64(nil)
	for len(left) > 0 {
		best, most := 0, math.Inf(-1)
		for k, i := range left {
			if v := hypervolume(append(slices.Clone(taken), facts[i].loss), ref); v > most {
				best, most = k, v
			}
		}
		taken = append(taken, facts[left[best]].loss)
		out = append(out, left[best])
		left = slices.Delete(left, best, best+1)
	}
	return out
}
