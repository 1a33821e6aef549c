// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gp

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
)

// descent minimises a smooth function inside a box by limited-memory BFGS:
// coordinates that press against a bound are held, and steps are projected.
// gonum has no bounded method.
type descent struct {
	f          func(x, gradient []float64) float64
	lower      []float64
	upper      []float64
	iterations int     // at most
	flat       float64 // a projected gradient this small is the end
	gain       float64 // and so is an iteration that lowers f by less
}

// memory is how many steps the approximation of the Hessian remembers.
const memory = 8

// place is a point with the value and the gradient there.
type place struct {
	x, gradient []float64
	value       float64
}

// step is the difference of two places, of points and of gradients.
type step struct{ s, y []float64 }

// run improves x in place.
func (m descent) run(x []float64) {
	here := place{x: slices.Clone(x), gradient: make([]float64, len(x))}
	here.value = m.f(here.x, here.gradient)
	next := place{x: slices.Clone(x), gradient: make([]float64, len(x))}
	var steps []step
	for range m.iterations {
		held := m.held(here)
		if largest(here.gradient, held) < m.flat || math.IsInf(here.value, 1) {
			break
		}
		direction := newton(here.gradient, held, steps)
		if floats.Dot(direction, here.gradient) >= 0 {
			steps, direction = nil, newton(here.gradient, held, nil)
		}
		if !m.search(here, direction, &next) {
			if steps == nil {
				break
			}
			steps = nil // the curvature misleads: start anew
			continue
		}
		steps = remember(steps, here, next)
		gained := here.value - next.value
		here, next = next, here
		if gained < m.gain {
			break
		}
	}
	copy(x, here.x)
}

// remember adds a step that has positive curvature.
func remember(steps []step, from, to place) []step {
	s, y := slices.Clone(to.x), slices.Clone(to.gradient)
	floats.Sub(s, from.x)
	floats.Sub(y, from.gradient)
	if floats.Dot(s, y) <= 1e-10*floats.Dot(y, y) {
		return steps
	}
	steps = append(steps, step{s, y})
	return steps[max(0, len(steps)-memory):]
}

// search backtracks along the direction until the value falls enough.
func (m descent) search(from place, direction []float64, to *place) bool {
	t := 1.0
	for range 12 {
		for i := range to.x {
			to.x[i] = min(max(from.x[i]+t*direction[i], m.lower[i]), m.upper[i])
		}
		expected := floats.Dot(from.gradient, to.x) - floats.Dot(from.gradient, from.x)
		to.value = m.f(to.x, to.gradient)
		if to.value <= from.value+1e-4*expected && expected < 0 {
			return true
		}
		t *= shrink(from.value, to.value, expected)
	}
	return false
}

// shrink is the minimum of the parabola through what is known, within reason.
func shrink(value, got, expected float64) float64 {
	if curve := got - value - expected; curve > 0 && !math.IsInf(curve, 0) {
		return min(max(-expected/(2*curve), 0.1), 0.5)
	}
	return 0.2
}

// held says which coordinates press against a bound.
func (m descent) held(p place) []bool {
	held := make([]bool, len(p.x))
	for i, g := range p.gradient {
		held[i] = p.x[i] <= m.lower[i] && g > 0 || p.x[i] >= m.upper[i] && g < 0
	}
	return held
}

func largest(g []float64, held []bool) float64 {
	most := 0.0
	for i := range g {
		if !held[i] {
			most = max(most, math.Abs(g[i]))
		}
	}
	return most
}

// newton is the two-loop recursion: minus the approximate inverse Hessian times
// the gradient, among coordinates that are not held.
func newton(g []float64, held []bool, steps []step) []float64 {
	d := make([]float64, len(g))
	for i := range g {
		if !held[i] {
			d[i] = -g[i]
		}
	}
	if len(steps) == 0 {
		// Without curvature, a first step of at most a fifth of the box.
		floats.Scale(min(1, 0.2/floats.Norm(d, math.Inf(1))), d)
		return d
	}
	weights := make([]float64, len(steps))
	for k := len(steps) - 1; k >= 0; k-- {
		weights[k] = floats.Dot(steps[k].s, d) / floats.Dot(steps[k].s, steps[k].y)
		floats.AddScaled(d, -weights[k], steps[k].y)
	}
	last := steps[len(steps)-1]
	floats.Scale(floats.Dot(last.s, last.y)/floats.Dot(last.y, last.y), d)
	for k, st := range steps {
		floats.AddScaled(d, weights[k]-floats.Dot(st.y, d)/floats.Dot(st.s, st.y), st.s)
	}
	for i := range d {
		if held[i] {
			d[i] = 0
		}
	}
	return d
}
