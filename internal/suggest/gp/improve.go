// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gp

import "math"

const logRootTwoPi = 0.91893853320467274178

// tail is where the definitions below would cancel, and the continued fraction
// takes their place.
const tail = -5

// mills is c in the standard normal distribution's ratio of the mass above t to
// the density at t, 1/(t+c), for t of 5 or more.
func mills(t float64) float64 {
	c := 0.0
	for k := 30.0; k >= 1; k-- {
		c = k / (t + c)
	}
	return c
}

// logImprovement is the logarithm of E[max(u - Z, 0)] for a standard normal Z,
// and its derivative, for any finite u.
func logImprovement(u float64) (value, slope float64) {
	if u > tail {
		below := math.Erfc(-u/math.Sqrt2) / 2
		h := math.Exp(-u*u/2-logRootTwoPi) + u*below
		return math.Log(h), below / h
	}
	c := mills(-u)
	return -u*u/2 - logRootTwoPi + math.Log(c/(c-u)), 1 / c
}

// logBelow is the logarithm of P[Z < u], and its derivative, for any finite u.
func logBelow(u float64) (value, slope float64) {
	if u > tail {
		below := math.Erfc(-u/math.Sqrt2) / 2
		return math.Log(below), math.Exp(-u*u/2-logRootTwoPi) / below
	}
	c := mills(-u)
	return -u*u/2 - logRootTwoPi - math.Log(c-u), c - u
}

// expectation is what a model says of a point: the mean and the standard
// deviation of the warped value.
type expectation struct{ mean, deviation float64 }

// partial is a value and its derivatives by a mean and a deviation.
type partial struct{ value, byMean, byDeviation float64 }

// Rule is how one objective's expectation becomes a score.
type Rule func(e expectation, best float64) partial

// Rules are the acquisition functions of one objective, by the names that users
// of scikit-optimize know: the logarithms of the expected and of the probability
// of improvement, and the lower confidence bound at 1.96 deviations.
var Rules = map[string]Rule{"EI": improvement, "PI": probability, "LCB": confidence}

func improvement(e expectation, best float64) partial {
	if math.IsInf(best, -1) {
		return partial{value: best}
	}
	u := (best - e.mean) / e.deviation
	value, slope := logImprovement(u)
	return partial{value + math.Log(e.deviation), -slope / e.deviation, (1 - slope*u) / e.deviation}
}

func probability(e expectation, best float64) partial {
	u := (best - e.mean) / e.deviation
	value, slope := logBelow(u)
	return partial{value, -slope / e.deviation, -slope * u / e.deviation}
}

func confidence(e expectation, _ float64) partial {
	const width = 1.96
	return partial{width*e.deviation - e.mean, -1, width}
}

// minus is the logarithm of the difference of the numbers whose logarithms p and
// q are; p is the greater.
func (p partial) minus(q partial) partial {
	share := math.Exp(q.value - p.value)
	if share == 0 {
		return p
	}
	rest := 1 - share
	if !(rest > 0) {
		return partial{value: math.Inf(-1)}
	}
	return partial{p.value + math.Log(rest), (p.byMean - share*q.byMean) / rest, (p.byDeviation - share*q.byDeviation) / rest}
}
