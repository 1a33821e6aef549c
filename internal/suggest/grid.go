// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import "fmt"

var gridSettings = []Setting{
	{
		Name: "points", Kind: Whole, Range: between(1, 1000),
		Doc: "how many values stand for a Double without a step, evenly on its scale, both ends included",
	},
	{
		Name: "order", Kind: Enum, Words: []string{"Shuffled", "Lexicographic"}, Default: "Shuffled",
		Doc: "whether the grid is tried in an order drawn by the seed or with its first parameter varying slowest",
	},
	randomState,
}

// gridFaults refuses what is no grid.
func gridFaults(p Problem, set settings) []Fault {
	c := newCube(p.Space)
	var faults []Fault
	for _, d := range c.dims {
		if d.levels == 0 && !set.has("points") {
			faults = append(faults, Fault{at(d.Name, "step"), "a grid needs a step for each Double: set step, or points in the algorithm's settings"})
		}
	}
	if _, finite := c.size(set.int("points")); !finite && len(faults) == 0 {
		faults = append(faults, Fault{"parameters", "the grid has 2^62 points or more: use larger steps"})
	}
	return faults
}

// grid proposes each point once. Which one is next follows from which ones are
// there, and not from how many: a trial that somebody deleted is made again.
func grid(s *search, n int) Answer {
	points := s.set.int("points")
	size, _ := s.cube.size(points)
	order := func(k uint64) uint64 { return k }
	if s.set.word("order") == "Shuffled" {
		order = shuffled(size, s.Seed)
	}
	k := uint64(0)
	answer := s.eachNew(n, func(int) (Proposal, bool) {
		for ; k < size && !s.cancelled(); k++ {
			a := s.cube.at(order(k), points)
			if !s.seen[s.cube.key(a)] && s.cube.meets(a) {
				return Proposal{Assignment: a, Why: fmt.Sprintf("point %d of a grid of %d", order(k)+1, size)}, true
			}
		}
		return Proposal{}, false
	})
	if answer.Exhausted != "" {
		answer.Exhausted = fmt.Sprintf("all %d points of the grid are tried", len(s.seen))
	}
	if s.cancelled() {
		answer.Exhausted = ""
	}
	return answer
}

// shuffled is a permutation of the numbers below size that needs no memory: a
// Feistel network over the next even power of two, walked until it is in range.
func shuffled(size, seed uint64) func(uint64) uint64 {
	half := uint(1)
	for half < 31 && uint64(1)<<(2*half) < size {
		half++
	}
	mask := uint64(1)<<half - 1
	return func(k uint64) uint64 {
		for {
			left, right := k>>half, k&mask
			for round := range uint64(4) {
				left, right = right, left^(mix(seed^mix(right<<3|round))&mask)
			}
			if k = left<<half | right; k < size {
				return k
			}
		}
	}
}
