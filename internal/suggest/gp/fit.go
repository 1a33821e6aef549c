// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gp

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/lapack/lapack64"
)

// prior is a normal distribution of the logarithm of a parameter, and its
// bounds.
type prior struct{ mean, deviation, lower, upper float64 }

func (p prior) cost(x float64) (value, slope float64) {
	z := (x - p.mean) / p.deviation
	return z * z / 2, z / p.deviation
}

// priors of the logarithms of the length scales, the weight of the axes by
// themselves, the noise in units of the signal's variance, and c of the warp. The
// length scale grows with the root of the number of axes, as the distance of
// random points does (Hvarfner et al., 2024), so that many dimensions are not a
// special case.
func priors(axes int) []prior {
	length := prior{math.Log(float64(axes)) / 2, math.Sqrt(3), math.Log(0.01), math.Log(1000)}
	all := make([]prior, axes, axes+3)
	for i := range all {
		all[i] = length
	}
	return append(all, sharePrior, noisePrior, warpPrior)
}

var (
	sharePrior = prior{math.Log(0.1), 2, math.Log(1e-4), math.Log(1e3)}
	noisePrior = prior{math.Log(1e-6), 2.5, math.Log(1e-8), math.Log(10)}
	warpPrior  = prior{0, 2, math.Log(0.01), math.Log(1000)}
)

// fit holds the data of one objective and the scratch space of its likelihood.
type fit struct {
	priors []prior
	warp   warp
	values []float64 // distances from the best in units of the scale
	apart  [][]float64

	joint, slopes  []float64   // by pair: the covariance of all axes together, its derivative
	single         []float64   // by pair: the sum of the covariances of each axis by itself
	each           [][]float64 // by axis and pair: their derivatives
	weights        []float64   // by pair: the derivative of the cost by the covariance
	z, ones, alpha []float64
	inverse        blas64.Symmetric
	mean, variance float64
}

func newFit(w warp, values []float64, apart [][]float64) *fit {
	n := len(values)
	f := &fit{priors: priors(len(apart)), warp: w, apart: apart}
	f.inverse = blas64.Symmetric{Uplo: blas.Upper, N: n, Stride: n, Data: make([]float64, n*n)}
	for _, v := range []*[]float64{&f.values, &f.z, &f.ones, &f.alpha} {
		*v = make([]float64, n)
	}
	for _, v := range []*[]float64{&f.joint, &f.slopes, &f.single, &f.weights} {
		*v = make([]float64, n*(n-1)/2)
	}
	for range apart {
		f.each = append(f.each, make([]float64, n*(n-1)/2))
	}
	for i, v := range values {
		f.values[i] = f.warp.distance(v)
	}
	return f
}

// How many points tell the parameters of a model roughly, and well.
const (
	rough = 40
	well  = 128
)

// parameters are those of the highest posterior density, given all points or an
// even choice of many. Most of the way there is made with few, for a step costs
// the cube of their number. It begins where nothing depends on the evidence: a
// start that is remembered would be one that is lost with the manager.
func (f *fit) parameters(axes []Axis, points [][]float64, values []float64) []float64 {
	n := len(axes)
	theta := make([]float64, n+3)
	for i := range n {
		theta[i] = math.Log(0.5 * math.Sqrt(float64(n)))
	}
	theta[n], theta[n+1], theta[n+2] = math.Log(0.1), math.Log(1e-4), 0
	if len(points) <= rough {
		f.improve(theta, 40)
		return theta
	}
	few, many := even(points, rough), even(points, well)
	newFit(f.warp, even(values, rough), pairs(axes, few)).improve(theta, 40)
	if len(many) < len(points) {
		f = newFit(f.warp, even(values, well), pairs(axes, many))
	}
	f.improve(theta, 8)
	return theta
}

// improve goes on to better parameters, by at most so many steps.
func (f *fit) improve(theta []float64, steps int) {
	lower, upper := make([]float64, len(theta)), make([]float64, len(theta))
	for i, p := range f.priors {
		lower[i], upper[i] = p.lower, p.upper
	}
	descent{f.cost, lower, upper, steps, 1e-2, 1e-3}.run(theta)
}

// settle solves at theta. Rounding may deny a covariance that is almost
// singular: more noise mends it.
func (f *fit) settle(theta []float64) {
	for {
		if _, ok := f.solve(theta); ok {
			return
		}
		theta[len(f.apart)+1] += math.Log(10)
	}
}

// cost is the negative logarithm of the posterior density of the parameters
// theta, up to a constant, with its gradient. The mean and the variance of the
// process are not among them: their best values have closed forms.
func (f *fit) cost(theta, gradient []float64) float64 {
	n, axes := len(f.values), len(f.apart)
	logDet, ok := f.solve(theta)
	if !ok {
		return math.Inf(1)
	}
	total, c := float64(n)/2*math.Log(f.variance)+logDet/2, math.Exp(theta[axes+2])
	var bySize float64 // derivative of the data's part by log c
	for i, v := range f.values {
		total += math.Log(v + c)
		bySize += (f.alpha[i]/f.variance + 1) * c / (v + c)
	}
	f.byCovariance(theta, gradient)
	byNoise := 0.0
	for i := range n {
		byNoise += f.inverse.Data[i*n+i] - f.alpha[i]*f.alpha[i]/f.variance
	}
	gradient[axes+1], gradient[axes+2] = byNoise*math.Exp(theta[axes+1])/2, bySize
	for i, p := range f.priors {
		value, slope := p.cost(theta[i])
		total += value
		gradient[i] += slope
	}
	return total
}

// byCovariance is the gradient by the logarithms of the length scales and of the
// share.
func (f *fit) byCovariance(theta, gradient []float64) {
	n, axes, p := len(f.values), len(f.apart), 0
	for i := range n {
		row, weight := f.inverse.Data[i:], f.alpha[i]/f.variance
		for j := range i {
			f.weights[p] = row[j*n] - weight*f.alpha[j]
			p++
		}
	}
	a := math.Exp(theta[axes])
	each := a / float64(axes)
	gradient[axes] = (floats.Dot(f.weights, f.single)/float64(axes) - floats.Dot(f.weights, f.joint)) * a / ((1 + a) * (1 + a))
	for d, apart := range f.apart {
		sum := 0.0
		for p, w := range f.weights {
			sum += w * (f.slopes[p] + each*f.each[d][p]) * apart[p]
		}
		gradient[d] = sum * math.Exp(-2*theta[d]) / (1 + a)
	}
}

// solve computes everything a model needs at theta: the inverse of the
// covariance, the mean, the variance and the weights of the points.
func (f *fit) solve(theta []float64) (logDet float64, ok bool) {
	n, axes := len(f.values), len(f.apart)
	f.covariances(theta)
	a, p := math.Exp(theta[axes]), 0
	each := a / float64(axes)
	for i := range n {
		for j := range i {
			f.inverse.Data[j*n+i] = (f.joint[p] + each*f.single[p]) / (1 + a)
			p++
		}
		f.inverse.Data[i*n+i] = 1 + math.Exp(theta[axes+1])
	}
	factor, ok := lapack64.Potrf(f.inverse)
	if !ok {
		return 0, false
	}
	for i := range n {
		logDet += 2 * math.Log(f.inverse.Data[i*n+i])
	}
	lapack64.Potri(factor)
	f.weigh(math.Exp(theta[axes+2]))
	return logDet, true
}

// covariances fills what depends on the length scales.
func (f *fit) covariances(theta []float64) {
	clear(f.joint)
	clear(f.single)
	for d, apart := range f.apart {
		scale := math.Exp(-2 * theta[d])
		floats.AddScaled(f.joint, scale, apart)
		for p, v := range apart {
			value, slope := matern(v * scale)
			f.single[p] += value
			f.each[d][p] = slope
		}
	}
	for p, v := range f.joint {
		f.joint[p], f.slopes[p] = matern(v)
	}
}

// weigh computes the mean, the variance and the weights from the inverse.
func (f *fit) weigh(c float64) {
	n := len(f.values)
	for i, v := range f.values {
		f.z[i] = math.Log(v + c)
		f.ones[i] = 1
	}
	blas64.Symv(1, f.inverse, vector(f.ones), 0, vector(f.alpha))
	f.mean = floats.Dot(f.alpha, f.z) / floats.Sum(f.alpha)
	for i := range f.z {
		f.ones[i] = f.z[i] - f.mean
	}
	blas64.Symv(1, f.inverse, vector(f.ones), 0, vector(f.alpha))
	// A tenth of a millionth keeps equal values from having no variance at all.
	f.variance = (floats.Dot(f.alpha, f.ones) + 1e-7) / float64(n)
}
