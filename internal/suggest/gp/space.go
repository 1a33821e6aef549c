// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gp

import (
	"math/rand/v2"
	"slices"
)

// Axis is one dimension of a space, a coordinate from 0 to 1.
type Axis struct {
	// Words is how many values without an order the axis has, each as wide as the
	// others; 0 is an axis of numbers.
	Words int
	// Levels are the coordinates of the values of an axis of numbers, rising; nil
	// is all of [0, 1], or so many that it makes no difference.
	Levels []float64
}

func (a *Axis) smooth() bool { return a.Words == 0 && a.Levels == nil }

// others are coordinates of values of a finite axis to try in place of the one
// at u: all when there are few, else the neighbours and some by chance.
func (a *Axis) others(u float64, r *rand.Rand) []float64 {
	all := a.Levels
	if a.Words > 0 {
		all = make([]float64, a.Words)
		for k := range all {
			all[k] = (float64(k) + 0.5) / float64(a.Words)
		}
	}
	if len(all) <= tries {
		return all
	}
	at, _ := slices.BinarySearch(all, u)
	picked := []float64{all[max(at-1, 0)], all[min(at+1, len(all)-1)]}
	for len(picked) < tries {
		picked = append(picked, all[r.IntN(len(all))])
	}
	return picked
}

// Space is what points may be proposed.
type Space struct {
	Axes []Axis
	// Snap writes the point of the space that raw, which it leaves as it is,
	// stands for: values in their middle, NaN for coordinates that do not exist.
	// It says whether the point may be proposed.
	Snap func(raw, point []float64) bool
}

// beside says whether two points differ by less than a distance on each axis.
func (s Space) beside(x, y []float64, distance float64) bool {
	for a := range s.Axes {
		if s.Axes[a].apart(x[a], y[a]) > distance*distance {
			return false
		}
	}
	return true
}
