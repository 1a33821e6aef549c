// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gp

import (
	"math"
	"slices"
)

// acquisition scores points by what a trial there is expected to gain.
type acquisition struct {
	models []*model // by objective
	rule   Rule     // of one objective
	cells  []cell   // what would be an improvement
	works  *model   // whether trials fail, 0 is no and 1 is yes; nil when none has
}

// score is the score of what the models expect of a point; parts receives its
// derivatives by the means and the deviations.
func (a *acquisition) score(e []expectation, parts []partial) float64 {
	if len(e) == 1 {
		parts[0] = a.rule(e[0], a.cells[0].upper[0])
		return parts[0].value
	}
	return a.hypervolume(e, parts)
}

// hypervolume is the logarithm of the expected improvement of the hypervolume.
// Objectives are independent, so that it is the sum over cells of the product
// over objectives of E[max(upper - Y, 0)] - E[max(lower - Y, 0)].
func (a *acquisition) hypervolume(e []expectation, parts []partial) float64 {
	k := len(e)
	logs, all, most := make([]float64, len(a.cells)), make([]partial, len(a.cells)*k), math.Inf(-1)
	for c, cell := range a.cells {
		for i := range e {
			p := improvement(e[i], cell.upper[i]).minus(improvement(e[i], cell.lower[i]))
			all[c*k+i], logs[c] = p, logs[c]+p.value
		}
		most = max(most, logs[c])
	}
	clear(parts)
	if math.IsInf(most, -1) {
		return most
	}
	sum := 0.0
	for c, v := range logs {
		share := math.Exp(v - most)
		sum += share
		if share == 0 {
			continue
		}
		for i := range parts {
			parts[i].byMean += share * all[c*k+i].byMean
			parts[i].byDeviation += share * all[c*k+i].byDeviation
		}
	}
	for i := range parts {
		parts[i].byMean /= sum
		parts[i].byDeviation /= sum
	}
	return most + math.Log(sum)
}

// success is the logarithm of the probability that a trial does not fail, by what
// the model of failures expects.
func (m *model) success(e expectation) partial {
	return probability(e, (m.warp.apply(0)+m.warp.apply(1))/2)
}

// at is the score of one point; gradient, when not nil, receives its derivative
// by the coordinates of numbers.
func (a *acquisition) at(x, gradient []float64) float64 {
	e, parts := make([]expectation, len(a.models)), make([]partial, len(a.models))
	models := a.models
	if a.works != nil {
		models = append(slices.Clip(models), a.works)
	}
	slopes := make([]slope, len(models))
	for i, m := range models {
		if gradient != nil {
			slopes[i] = newSlope(len(x))
		}
		if i < len(e) {
			e[i] = m.at(x, slopes[i])
		}
	}
	value := a.score(e, parts)
	if a.works != nil {
		p := a.works.success(a.works.at(x, slopes[len(e)]))
		value += p.value
		parts = append(parts, p)
	}
	if gradient != nil {
		chain(parts, slopes, gradient)
	}
	return value
}

// chain is the chain rule.
func chain(parts []partial, slopes []slope, gradient []float64) {
	clear(gradient)
	for k, p := range parts {
		for i := range gradient {
			gradient[i] += p.byMean*slopes[k].mean[i] + p.byDeviation*slopes[k].deviation[i]
		}
	}
}

// all scores many points.
func (a *acquisition) all(points [][]float64) []float64 {
	by := make([][]expectation, len(a.models))
	for k, m := range a.models {
		by[k] = m.all(points)
	}
	e, parts, scores := make([]expectation, len(a.models)), make([]partial, len(a.models)), make([]float64, len(points))
	for i := range points {
		for k := range by {
			e[k] = by[k][i]
		}
		scores[i] = a.score(e, parts)
	}
	if a.works != nil {
		for i, e := range a.works.all(points) {
			scores[i] += a.works.success(e).value
		}
	}
	return scores
}
