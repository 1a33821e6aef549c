// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gp

import "math"

// matern returns the Matern 5/2 covariance at the squared distance d, and
// minus twice its derivative by d.
func matern(d float64) (value, slope float64) {
	r := math.Sqrt(5 * d)
	e := math.Exp(-r)
	return (1 + r + r*r/3) * e, 5. / 3 * (1 + r) * e
}

// apart is the squared distance of two coordinates of an axis before it is
// divided by the square of a length scale. Words are equal or one apart, and so
// is a coordinate from one that does not exist.
func (a *Axis) apart(x, y float64) float64 {
	delta := x - y
	if a.Words == 0 && !math.IsNaN(delta) {
		return delta * delta
	}
	if x == y || math.IsNaN(x) && math.IsNaN(y) {
		return 0
	}
	return 1
}

// pairs holds, by axis, the distances of every two points (i, j < i), packed
// row by row: what a fit needs again and again for other length scales.
func pairs(axes []Axis, points [][]float64) [][]float64 {
	all := make([][]float64, len(axes))
	for d := range axes {
		packed := make([]float64, 0, len(points)*(len(points)-1)/2)
		for i, x := range points {
			for _, y := range points[:i] {
				packed = append(packed, axes[d].apart(x[d], y[d]))
			}
		}
		all[d] = packed
	}
	return all
}
