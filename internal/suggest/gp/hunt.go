// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gp

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// How widely the acquisition is searched.
const (
	spread = 500 // candidates all over the space
	around = 60  // and around each of the best points known
	starts = 4   // candidates that are improved by local search
	rounds = 3   // of local search: numbers by gradient, then the other axes
	tries  = 16  // values of an axis that are compared, at most
)

// hunt finds the point with the highest score.
type hunt struct {
	Space
	*acquisition
	random *rand.Rand
	near   [][]float64 // the best points known
}

// candidate is a point with its score, and the coordinates it was snapped from.
type candidate struct {
	raw, point []float64
	score      float64
}

// run is false when no candidate may be proposed.
func (h *hunt) run(climb bool) (candidate, bool) {
	found := h.candidates()
	if len(found) == 0 {
		return candidate{}, false
	}
	points := make([][]float64, len(found))
	for i := range found {
		points[i] = found[i].point
	}
	for i, s := range h.all(points) {
		found[i].score = s
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(b.score, a.score) })
	top := found[0]
	if !climb {
		return top, true
	}
	for _, c := range h.scattered(found) {
		if c = h.climb(c); c.score > top.score {
			top = c
		}
	}
	return top, true
}

// candidates are random points all over the space and around the best known.
func (h *hunt) candidates() []candidate {
	var found []candidate
	for range spread {
		raw := make([]float64, len(h.Axes))
		for i := range raw {
			raw[i] = h.random.Float64()
		}
		found = h.keep(found, raw)
	}
	for _, best := range h.near {
		for range around {
			found = h.keep(found, h.neighbour(best))
		}
	}
	return found
}

func (h *hunt) keep(found []candidate, raw []float64) []candidate {
	c := candidate{raw: raw, point: make([]float64, len(raw))}
	if !h.Snap(c.raw, c.point) {
		return found
	}
	return append(found, c)
}

// neighbour is a random one of a point: about 20 coordinates move at most, and
// how far is anything from the whole axis to a ten-thousandth of it. Those that
// do not exist get a value, should they come to exist.
func (h *hunt) neighbour(x []float64) []float64 {
	raw := slices.Clone(x)
	size, share := math.Pow(10, -4*h.random.Float64()), min(1, 20/float64(len(x)))
	for i := range raw {
		jump := h.Axes[i].Words > 0 && h.random.Float64() < size
		switch {
		case jump || math.IsNaN(raw[i]):
			raw[i] = h.random.Float64()
		case h.Axes[i].Words == 0 && h.random.Float64() < share:
			raw[i] = reflect(raw[i] + size*h.random.NormFloat64())
		}
	}
	return raw
}

// reflect folds a number that left [0, 1] back into it.
func reflect(u float64) float64 {
	if u = math.Mod(math.Abs(u), 2); u > 1 {
		return 2 - u
	}
	return u
}

// scattered picks the first candidates that are not next to each other.
func (h *hunt) scattered(found []candidate) []candidate {
	var picked []candidate
	for _, c := range found {
		near := slices.ContainsFunc(picked, func(p candidate) bool { return h.beside(c.point, p.point, 0.05) })
		if !near {
			picked = append(picked, c)
		}
		if len(picked) == starts {
			break
		}
	}
	return picked
}

// climb improves a candidate until nothing does.
func (h *hunt) climb(c candidate) candidate {
	for range rounds {
		before := c.score
		c = h.glide(c)
		if !h.rough() {
			return c
		}
		for a := range h.Axes {
			c = h.hop(c, a)
		}
		if c.score <= before {
			return c
		}
	}
	return c
}

// rough says whether some axis has no gradient.
func (h *hunt) rough() bool {
	return slices.ContainsFunc(h.Axes, func(a Axis) bool { return !a.smooth() })
}

// glide moves the smooth coordinates along the gradient. Constraints may forbid
// the end of the way: it goes as far as they let.
func (h *hunt) glide(c candidate) candidate {
	free := h.free(c.point)
	if len(free) == 0 {
		return c
	}
	x := h.ascend(c.point, free)
	for t := 1.0; t > 0.01; t *= 0.7 {
		raw := slices.Clone(c.raw)
		for j, i := range free {
			raw[i] = c.point[i] + t*(x[j]-c.point[i])
		}
		if better, legal := h.try(c, raw); legal {
			return better
		}
	}
	return c
}

// free is the smooth axes on which a point has a coordinate.
func (h *hunt) free(point []float64) []int {
	var free []int
	for i, u := range point {
		if h.Axes[i].smooth() && !math.IsNaN(u) {
			free = append(free, i)
		}
	}
	return free
}

// ascend is the free coordinates of the highest score uphill of a point.
func (h *hunt) ascend(point []float64, free []int) []float64 {
	x, lower, upper := make([]float64, len(free)), make([]float64, len(free)), make([]float64, len(free))
	for j, i := range free {
		x[j], upper[j] = point[i], 1
	}
	at, slopes := slices.Clone(point), make([]float64, len(point))
	cost := func(x, gradient []float64) float64 {
		for j, i := range free {
			at[i] = x[j]
		}
		score := h.at(at, slopes)
		for j, i := range free {
			gradient[j] = -slopes[i]
		}
		return -score
	}
	descent{cost, lower, upper, 30, 1e-4, 1e-5}.run(x)
	return x
}

// try is the better of a candidate and the point at raw, and whether that may be
// proposed.
func (h *hunt) try(c candidate, raw []float64) (candidate, bool) {
	next := candidate{raw: raw, point: make([]float64, len(raw))}
	if !h.Snap(raw, next.point) {
		return c, false
	}
	if next.score = h.at(next.point, nil); next.score > c.score {
		return next, true
	}
	return c, true
}

// hop tries other values of an axis without a gradient.
func (h *hunt) hop(c candidate, a int) candidate {
	if h.Axes[a].smooth() || math.IsNaN(c.point[a]) {
		return c
	}
	for _, u := range h.Axes[a].others(c.point[a], h.random) {
		raw := slices.Clone(c.raw)
		raw[a] = u
		c, _ = h.try(c, raw)
	}
	return c
}
