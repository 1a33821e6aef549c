// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gp

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// warp makes values fit for a Gaussian process: log(s + c), with s the distance
// from the best value in units of the distance of the median from it. A large c
// leaves the values as they are; a small one spreads what is near the best and
// draws in a long tail. c is a parameter of the fit, chosen by the marginal
// likelihood, so that the shape of the values decides.
type warp struct {
	low, scale float64
	c          float64
}

// newWarp returns the warp of values, with c still to choose.
func newWarp(values []float64) warp {
	sorted := slices.Sorted(slices.Values(values))
	low := sorted[0]
	for _, high := range []float64{sorted[len(sorted)/2], sorted[len(sorted)-1]} {
		if scale := high - low; scale > 0 && !math.IsInf(scale, 0) {
			return warp{low: low, scale: scale, c: 1}
		}
	}
	return warp{low: low, scale: 1, c: 1}
}

// distance is how far a value is from the best, in units of the scale. There is
// an end to how bad a value can be.
func (w warp) distance(value float64) float64 { return min(max((value-w.low)/w.scale, 0), 1e9) }

func (w warp) apply(value float64) float64 { return math.Log(w.distance(value) + w.c) }

// deviation is the standard deviation of values once they are warped.
func (m *model) deviation(values []float64) float64 {
	warped := make([]float64, len(values))
	for i, v := range values {
		warped[i] = m.warp.apply(v)
	}
	return stat.PopStdDev(warped, nil)
}
