// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gp

import (
	"math"

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

type step struct{ s, y []float64 }

// run improves x in place and returns the value there.
func (m descent) run(x []float64) float64 {
	g, next, nextG := make([]float64, len(x)), make([]float64, len(x)), make([]float64, len(x))
	value := m.f(x, g)
	var steps []step
	for range m.iterations {
		held := m.held(x, g)
		if largest(g, held) < m.flat || math.IsInf(value, 1) {
			break
		}
		direction := newton(g, held, steps)
		if floats.Dot(direction, g) >= 0 {
			steps, direction = nil, newton(g, held, nil)
		}
		lower, ok := m.search(x, g, direction, value, next, nextG)
		if !ok {
			if len(steps) == 0 {
				break
			}
			steps = nil
			continue
		}
		s, y := make([]float64, len(x)), make([]float64, len(x))
		floats.SubTo(s, next, x)
		floats.SubTo(y, nextG, g)
		if floats.Dot(s, y) > 1e-10*floats.Dot(y, y) {
			steps = append(steps, step{s, y})
			steps = steps[max(0, len(steps)-memory):]
		}
		gained := value - lower
		value = lower
		copy(x, next)
		copy(g, nextG)
		if gained < m.gain {
			break
		}
	}
	return value
}

// search backtracks from x along the direction until the value falls enough.
func (m descent) search(x, g, direction []float64, value float64, next, nextG []float64) (float64, bool) {
	t := 1.0
	for range 12 {
		for i := range x {
			next[i] = min(max(x[i]+t*direction[i], m.lower[i]), m.upper[i])
		}
		expected := floats.Dot(g, next) - floats.Dot(g, x)
		got := m.f(next, nextG)
		if got <= value+1e-4*expected && expected < 0 {
			return got, true
		}
		t *= shrink(value, got, expected)
	}
	return value, false
}

// shrink is the minimum of the parabola through what is known, within reason.
func shrink(value, got, expected float64) float64 {
	if curve := got - value - expected; curve > 0 && !math.IsInf(curve, 0) {
		return min(max(-expected/(2*curve), 0.1), 0.5)
	}
	return 0.2
}

func (m descent) held(x, g []float64) []bool {
	held := make([]bool, len(x))
	for i := range x {
		held[i] = x[i] <= m.lower[i] && g[i] > 0 || x[i] >= m.upper[i] && g[i] < 0
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
