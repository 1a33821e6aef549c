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

// priors of the logarithms of the length scales, the noise in units of the
// signal's variance, and c of the warp. The length scale grows with the root of
// the number of axes, as the distance of random points does (Hvarfner et al.,
// 2024), so that many dimensions are not a special case.
func priors(axes int) []prior {
	length := prior{math.Log(float64(axes)) / 2, math.Sqrt(3), math.Log(0.01), math.Log(1000)}
	all := make([]prior, axes, axes+2)
	for i := range all {
		all[i] = length
	}
	return append(all, noisePrior, warpPrior)
}

var (
	noisePrior = prior{math.Log(1e-6), 2.5, math.Log(1e-8), math.Log(10)}
	warpPrior  = prior{math.Log(1), 2, math.Log(0.01), math.Log(1000)}
)

// fit holds the data of one objective and the scratch space of its likelihood.
type fit struct {
	priors []prior
	warp   warp
	values []float64 // distances from the best in units of the scale
	apart  [][]float64

	packed, slopes []float64 // by pair: covariance, its derivative
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
	f.packed, f.slopes = make([]float64, n*(n-1)/2), make([]float64, n*(n-1)/2)
	for i, v := range values {
		f.values[i] = f.warp.distance(v)
	}
	return f
}

// enough is how many points tell the parameters of a model.
const enough = 128

// parameters are those of the highest posterior density, given all points or an
// even choice of many.
func (f *fit) parameters(axes []Axis, points [][]float64, values []float64) []float64 {
	if len(points) <= enough {
		return f.run()
	}
	return newFit(f.warp, even(values, enough), pairs(axes, even(points, enough))).run()
}

// run finds the parameters, from a start that depends on nothing.
func (f *fit) run() []float64 {
	d := len(f.apart)
	theta, lower, upper := make([]float64, d+2), make([]float64, d+2), make([]float64, d+2)
	for i, p := range f.priors {
		theta[i], lower[i], upper[i] = math.Log(0.5*math.Sqrt(float64(d))), p.lower, p.upper
	}
	theta[d], theta[d+1] = math.Log(1e-4), 0
	descent{f.cost, lower, upper, 40, 1e-2, 1e-3}.run(theta)
	return theta
}

// settle solves at theta. Rounding may deny a covariance that is almost
// singular: more noise mends it.
func (f *fit) settle(theta []float64) {
	for {
		if _, ok := f.solve(theta); ok {
			return
		}
		theta[len(theta)-2] += math.Log(10)
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
	jacobian := 0.0
	c := math.Exp(theta[axes+1])
	var bySize float64 // derivative of the data's part by log c
	for i, v := range f.values {
		jacobian -= math.Log(v + c)
		bySize += f.alpha[i]*c/(v+c)/f.variance + c/(v+c)
	}
	f.byLength(theta, gradient)
	eta, byNoise := math.Exp(theta[axes]), 0.0
	for i := range n {
		byNoise += f.inverse.Data[i*n+i] - f.alpha[i]*f.alpha[i]/f.variance
	}
	gradient[axes], gradient[axes+1] = byNoise*eta/2, bySize
	total := float64(n)/2*math.Log(f.variance) + logDet/2 - jacobian
	for i, p := range f.priors {
		value, slope := p.cost(theta[i])
		total += value
		gradient[i] += slope
	}
	return total
}

// byLength is the gradient by the logarithms of the length scales.
func (f *fit) byLength(theta, gradient []float64) {
	n, p := len(f.values), 0
	for i := range n {
		row := f.inverse.Data[i:]
		weight := f.alpha[i] / f.variance
		for j := range i {
			f.slopes[p] *= row[j*n] - weight*f.alpha[j]
			p++
		}
	}
	for d, apart := range f.apart {
		gradient[d] = floats.Dot(f.slopes, apart) * math.Exp(-2*theta[d])
	}
}

// solve computes everything a model needs at theta: the inverse of the
// covariance, the mean, the variance and the weights of the points.
func (f *fit) solve(theta []float64) (logDet float64, ok bool) {
	n, axes := len(f.values), len(f.apart)
	clear(f.packed)
	for d, apart := range f.apart {
		floats.AddScaled(f.packed, math.Exp(-2*theta[d]), apart)
	}
	noise, p := math.Exp(theta[axes]), 0
	for i := range n {
		for j := range i {
			f.inverse.Data[j*n+i], f.slopes[p] = matern(f.packed[p])
			p++
		}
		f.inverse.Data[i*n+i] = 1 + noise
	}
	factor, ok := lapack64.Potrf(f.inverse)
	if !ok {
		return 0, false
	}
	for i := range n {
		logDet += 2 * math.Log(f.inverse.Data[i*n+i])
	}
	lapack64.Potri(factor)
	f.weigh(math.Exp(theta[axes+1]))
	return logDet, true
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
