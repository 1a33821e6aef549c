// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"slices"
	"testing"
)

// discrepancy is the square of the L2 star discrepancy, by Warnock's formula.
func discrepancy(points [][]float64) float64 {
	n, d := float64(len(points)), len(points[0])
	third, single, pairs := 1.0, 0.0, 0.0
	for range d {
		third /= 3
	}
	for _, p := range points {
		term := 1.0
		for _, x := range p {
			term *= (1 - x*x) / 2
		}
		single += term
		for _, q := range points {
			term := 1.0
			for j := range p {
				term *= 1 - max(p[j], q[j])
			}
			pairs += term
		}
	}
	return third - 2/n*single + pairs/(n*n)
}

func TestSobolIsMoreEvenThanChance(t *testing.T) {
	for _, n := range []int{64, 256} {
		for _, dims := range []int{1, 2, 3, 6} {
			for seed := range uint64(20) {
				q, r := newSequence(dims, seed), stream(seed, "chance", 0)
				var even, uneven [][]float64
				for i := range n {
					even, uneven = append(even, q.at(i)), append(uneven, chance(dims, r))
				}
				if a, b := discrepancy(even), discrepancy(uneven); a >= b {
					t.Errorf("%d points in %d dimensions, seed %d: %g, of chance %g", n, dims, seed, a, b)
				}
			}
		}
	}
}

// Of 2^k points of a scrambled sequence each 2^-k of each axis has exactly one.
func TestSobolIsStratified(t *testing.T) {
	for seed := range uint64(3) {
		q := newSequence(sobolDims, seed)
		for d := range sobolDims {
			strata := make([]int, 256)
			for i := range 256 {
				strata[int(q.at(i)[d]*256)]++
			}
			if slices.Max(strata) != 1 {
				t.Fatalf("dimension %d is uneven: %v", d, strata)
			}
		}
	}
}

// Pairs of dimensions are (0, 8, 2)-nets or nearly so: no quarter of a quarter is empty.
func TestSobolFillsPairsOfDimensions(t *testing.T) {
	q := newSequence(12, 1)
	for a := range 12 {
		for b := range a {
			cells := make([]int, 16)
			for i := range 256 {
				u := q.at(i)
				cells[int(u[a]*4)*4+int(u[b]*4)]++
			}
			if slices.Min(cells) == 0 {
				t.Errorf("dimensions %d and %d leave a cell empty: %v", a, b, cells)
			}
		}
	}
}

func TestSobolReachesTheEndsOfWholeNumbers(t *testing.T) {
	trials := run(t, problem("Sobol", whole("x", 1, 4), double("y", 0, 1)), 64, 4)
	counts := map[string]int{}
	for _, trial := range trials {
		counts[trial.Assignment["x"]]++
	}
	for _, x := range []string{"1", "2", "3", "4"} {
		if counts[x] != 16 {
			t.Errorf("%s is proposed %d times of 64, want 16: %v", x, counts[x], counts)
		}
	}
}
