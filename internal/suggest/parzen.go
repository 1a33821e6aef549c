// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"math"
	"math/rand/v2"
)

// parzen is a density over some coordinates of the cube: a mixture with a kernel
// around each observation and one, the prior, over everything.
type parzen struct {
	axes   []axis
	weight []float64 // of each kernel, summing to 1
}

// axis is the kernels' shares of one coordinate.
type axis interface {
	sample(kernel int, r *rand.Rand) float64
	logDensity(kernel int, x float64) float64
}

// newParzen makes the density of observations, the oldest first, in dimensions
// that are active in all of them.
func newParzen(dims []*dim, at [][]float64, priorWeight float64) *parzen {
	p := &parzen{weight: kernelWeights(len(at), priorWeight)}
	for j, d := range dims {
		column := make([]float64, len(at))
		for i := range at {
			column[i] = at[i][j]
		}
		if d.Type == Categorical {
			p.axes = append(p.axes, newWordAxis(d, column, priorWeight))
			continue
		}
		p.axes = append(p.axes, newBellAxis(d, column, gaps(column)))
	}
	return p
}

// recent is how many of the latest observations have their full weight.
const recent = 25

// kernelWeights forget slowly: the weights of old observations rise from almost
// nothing to 1. The last weight is the prior's.
func kernelWeights(n int, prior float64) []float64 {
	w := make([]float64, n+1)
	sum := prior
	for i := range n {
		w[i] = 1
		if ramp := n - recent; i < ramp {
			first := 1 / float64(n)
			w[i] = first + (1-first)*float64(i)/float64(max(ramp-1, 1))
		}
		sum += w[i]
	}
	w[n] = prior
	for i := range w {
		w[i] /= sum
	}
	return w
}

// sample draws from the mixture.
func (p *parzen) sample(r *rand.Rand) []float64 {
	kernel, u := 0, r.Float64()
	for kernel < len(p.weight)-1 && u >= p.weight[kernel] {
		u -= p.weight[kernel]
		kernel++
	}
	x := make([]float64, len(p.axes))
	for j, a := range p.axes {
		x[j] = a.sample(kernel, r)
	}
	return x
}

// logDensity is the logarithm of the mixture at x.
func (p *parzen) logDensity(x []float64) float64 {
	terms := make([]float64, len(p.weight))
	most := math.Inf(-1)
	for k, w := range p.weight {
		terms[k] = math.Log(w)
		for j, a := range p.axes {
			terms[k] += a.logDensity(k, x[j])
		}
		most = max(most, terms[k])
	}
	if math.IsInf(most, -1) {
		return most
	}
	sum := 0.0
	for _, t := range terms {
		sum += math.Exp(t - most)
	}
	return most + math.Log(sum)
}

// wordAxis is the kernels of a categorical dimension: the observed word is the
// likeliest, the others share what the prior gives.
type wordAxis struct {
	d     *dim
	share [][]float64 // by kernel and word
}

func newWordAxis(d *dim, at []float64, priorWeight float64) *wordAxis {
	a := &wordAxis{d: d}
	kernels := float64(len(at) + 1)
	for i := range len(at) + 1 {
		row := make([]float64, d.levels)
		for k := range row {
			row[k] = priorWeight / kernels
		}
		sum := priorWeight / kernels * float64(d.levels)
		if i < len(at) {
			row[d.level(at[i])]++
			sum++
		}
		for k := range row {
			row[k] /= sum
		}
		a.share = append(a.share, row)
	}
	return a
}

func (a *wordAxis) sample(kernel int, r *rand.Rand) float64 {
	u, row := r.Float64(), a.share[kernel]
	for k, share := range row {
		if u -= share; u < 0 {
			return a.d.centre(k)
		}
	}
	return a.d.centre(len(row) - 1)
}

func (a *wordAxis) logDensity(kernel int, x float64) float64 {
	return math.Log(a.share[kernel][a.d.level(x)])
}

// bellAxis is the kernels of a numeric dimension: bells, cut off at 0 and 1. In a
// finite dimension the density at a value is the mass of its cell.
type bellAxis struct {
	d           *dim
	mean, width []float64
	below, mass []float64 // of each bell: what lies below 0, and from 0 to 1
	logMass     []float64
}

func newBellAxis(d *dim, at, widths []float64) *bellAxis {
	a := &bellAxis{d: d, mean: append(at, 0.5), width: widths}
	for i, m := range a.mean {
		below := normalBelow(-m / widths[i])
		mass := normalBelow((1-m)/widths[i]) - below
		a.below, a.mass, a.logMass = append(a.below, below), append(a.mass, mass), append(a.logMass, math.Log(mass))
	}
	return a
}

func (a *bellAxis) sample(kernel int, r *rand.Rand) float64 {
	z := normalQuantile(a.below[kernel] + r.Float64()*a.mass[kernel])
	x := min(max(a.mean[kernel]+a.width[kernel]*z, 0), 1)
	if a.d.levels > 0 {
		return a.d.centre(a.d.level(x))
	}
	return x
}

func (a *bellAxis) logDensity(kernel int, x float64) float64 {
	mean, width := a.mean[kernel], a.width[kernel]
	if a.d.levels > 0 {
		lo, hi := a.d.cell(a.d.level(x))
		if mass := normalBetween((lo-mean)/width, (hi-mean)/width); mass > 0 {
			return math.Log(mass) - a.logMass[kernel]
		}
		// Too far out for the difference of two shares: the density times the cell.
		x, width = (lo+hi)/2, a.width[kernel]
		return logBell((x-mean)/width) - math.Log(width/(hi-lo)) - a.logMass[kernel]
	}
	return logBell((x-mean)/width) - math.Log(width) - a.logMass[kernel]
}

// logBell is the logarithm of the standard normal density.
func logBell(z float64) float64 { return -z*z/2 - 0.5*math.Log(2*math.Pi) }

// normalBetween is the share of the standard normal distribution from a to b,
// taken in the lower tail, where differences of shares are exact.
func normalBetween(a, b float64) float64 {
	if a > 0 {
		a, b = -b, -a
	}
	return normalBelow(b) - normalBelow(a)
}
