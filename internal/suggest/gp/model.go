// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gp

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
)

// model is a Gaussian process that has seen points.
type model struct {
	axes  []Axis
	scale []float64 // one over the square of the length scale, by axis
	share float64   // of the axes by themselves, by axis, in units of the covariance of all together
	noise float64   // in units of the variance
	warp  warp

	points   [][]float64
	alpha    []float64      // weights of the points in the mean
	inverse  blas64.General // of the covariance of the points, in units of the variance
	mean     float64
	variance float64

	k, v   []float64 // scratch, by point
	slopes []float64 // and axis
}

// train fits a model to values, the smaller the better, at points; apart are the
// points' distances. The second model doubts the first. Its length scales are
// shorter, and none is much longer than the shortest, for an axis that does not
// matter near the best may matter elsewhere; its warp is milder, so that what is
// not so good is seen in more detail.
func train(axes []Axis, points [][]float64, values []float64, apart [][]float64) (m, doubt *model) {
	f := newFit(newWarp(values), values, apart)
	theta := f.parameters(axes, points, values)
	m = f.model(axes, points, theta)
	lengths := theta[:len(axes)]
	shortest := slices.Min(lengths)
	for i := range lengths {
		lengths[i] = min(lengths[i], shortest+math.Log(2)) + math.Log(doubtful)
	}
	theta[len(axes)+2] = max(theta[len(axes)+2], 0)
	return m, newFit(f.warp, values, apart).model(axes, points, theta)
}

// doubtful is how much shorter the length scales of doubt are.
const doubtful = 0.7

// model is the model with the parameters theta.
func (f *fit) model(axes []Axis, points [][]float64, theta []float64) *model {
	f.settle(theta)
	d := len(axes)
	m := &model{
		axes: axes, share: math.Exp(theta[d]) / float64(d), noise: math.Exp(theta[d+1]), warp: f.warp, points: slices.Clone(points), alpha: f.alpha,
		inverse: mirrored(f.inverse), mean: f.mean, variance: f.variance,
	}
	m.warp.c = math.Exp(theta[d+2])
	for i := range d {
		m.scale = append(m.scale, math.Exp(-2*theta[i]))
	}
	m.scratch()
	return m
}

func (m *model) scratch() {
	n := len(m.points)
	m.k, m.v, m.slopes = make([]float64, n), make([]float64, n), make([]float64, n*len(m.axes))
}

// mirrored is a symmetric matrix with both of its halves filled.
func mirrored(s blas64.Symmetric) blas64.General {
	for i := range s.N {
		for j := range i {
			s.Data[i*s.N+j] = s.Data[j*s.N+i]
		}
	}
	return blas64.General{Rows: s.N, Cols: s.N, Stride: s.N, Data: s.Data}
}

// add adds a point whose warped value is so much more than the model expects
// there; 0 leaves the mean as it is everywhere. The inverse grows by a row and a
// column, the parameters stay.
func (m *model) add(x []float64, more float64) {
	n := len(m.points)
	m.covariances(x)
	blas64.Gemv(blas.NoTrans, 1, m.inverse, vector(m.k), 0, vector(m.v))
	rest := max(1+m.noise-blas64.Dot(vector(m.k), vector(m.v)), m.noise)
	grown := blas64.General{Rows: n + 1, Cols: n + 1, Stride: n + 1, Data: make([]float64, (n+1)*(n+1))}
	for i := range n {
		row := grown.Data[i*(n+1):]
		for j := range n {
			row[j] = m.inverse.Data[i*n+j] + m.v[i]*m.v[j]/rest
		}
		row[n], grown.Data[n*(n+1)+i] = -m.v[i]/rest, -m.v[i]/rest
	}
	grown.Data[n*(n+1)+n] = 1 / rest
	blas64.Axpy(-more/rest, vector(m.v), vector(m.alpha))
	m.inverse, m.points, m.alpha = grown, append(m.points, slices.Clone(x)), append(m.alpha, more/rest)
	m.scratch()
}

// covariances fills k with the covariances of x and the points, and slopes with
// minus their derivatives by half the squared distance on each axis.
func (m *model) covariances(x []float64) {
	axes := len(m.axes)
	unit := 1 / (1 + m.share*float64(axes))
	for i, point := range m.points {
		slopes := m.slopes[i*axes : (i+1)*axes]
		sum, all := 0.0, 0.0
		for a := range m.axes {
			d := m.axes[a].apart(x[a], point[a]) * m.scale[a]
			value, slope := matern(d)
			slopes[a] = m.share * slope
			sum, all = sum+d, all+value
		}
		value, slope := matern(sum)
		m.k[i] = (value + m.share*all) * unit
		for a := range slopes {
			slopes[a] = (slopes[a] + slope) * unit * m.scale[a]
		}
	}
}

// slope is the derivatives of an expectation by coordinate. Those of words and of
// coordinates that do not exist are 0. The zero slope is not asked for.
type slope struct{ mean, deviation []float64 }

func newSlope(axes int) slope { return slope{make([]float64, axes), make([]float64, axes)} }

// at predicts one point.
func (m *model) at(x []float64, s slope) expectation {
	m.covariances(x)
	blas64.Gemv(blas.NoTrans, 1, m.inverse, vector(m.k), 0, vector(m.v))
	e := m.expect(m.k, m.v)
	if s.mean == nil {
		return e
	}
	for i, point := range m.points {
		byMean, byDeviation := -m.alpha[i], m.v[i]*m.variance/e.deviation
		for a := range m.axes {
			delta := (x[a] - point[a]) * m.slopes[i*len(m.axes)+a]
			if m.axes[a].Words > 0 || math.IsNaN(delta) {
				continue
			}
			s.mean[a] += byMean * delta
			s.deviation[a] += byDeviation * delta
		}
	}
	return e
}

// expect is what follows from the covariances k of a point, and their product v
// with the inverse.
func (m *model) expect(k, v []float64) expectation {
	known := blas64.Dot(vector(k), vector(v))
	return expectation{m.mean + blas64.Dot(vector(k), vector(m.alpha)), math.Sqrt(m.variance * max(1-known, 1e-12))}
}

// all predicts many points by one matrix product.
func (m *model) all(points [][]float64) []expectation {
	n, c := len(m.points), len(points)
	k := blas64.General{Rows: c, Cols: n, Stride: n, Data: make([]float64, c*n)}
	for i, x := range points {
		m.covariances(x)
		copy(k.Data[i*n:], m.k)
	}
	v := blas64.General{Rows: c, Cols: n, Stride: n, Data: make([]float64, c*n)}
	blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, k, m.inverse, 0, v)
	found := make([]expectation, c)
	for i := range points {
		found[i] = m.expect(k.Data[i*n:(i+1)*n], v.Data[i*n:(i+1)*n])
	}
	return found
}

func vector(v []float64) blas64.Vector { return blas64.Vector{N: len(v), Inc: 1, Data: v} }
