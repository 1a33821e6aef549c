// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"math"
	"slices"
)

// listable is how many points of a finite space are listed one by one, when
// chance finds no more of them.
const listable = 1 << 20

// size is the number of points, combinations of conditional parameters counted
// as often as they exist and constraints left aside. Points is how many values
// stand for a continuum, 0 is all of them: then a space with one is not finite.
// Neither is one of 2^62 points or more.
func (c *cube) size(points int) (uint64, bool) {
	total := 1.0
	for i := range c.dims {
		if c.dims[i].parent < 0 {
			total *= c.below(i, points)
		}
	}
	return uint64(min(total, 1<<62)), total < 1<<62
}

// below is the number of points that dimension i and its children make.
func (c *cube) below(i, points int) float64 {
	d := &c.dims[i]
	n := d.count(points)
	if n == 0 {
		return math.Inf(1)
	}
	if len(d.children) == 0 {
		return float64(n)
	}
	total := 0.0
	for k := range n {
		total += c.under(i, k, points)
	}
	return total
}

// under is the number of points that the children of dimension i make when it
// has its value number k.
func (c *cube) under(i, k, points int) float64 {
	total, word := 1.0, c.dims[i].point(k, points)
	for _, child := range c.dims[i].children {
		if c.dims[child].wants(word, &c.dims[i]) {
			total *= c.below(child, points)
		}
	}
	return total
}

// at is point number k of a finite space; the first parameter varies slowest.
func (c *cube) at(k uint64, points int) Assignment {
	a := make(Assignment, len(c.dims))
	for i, d := range slices.Backward(c.dims) {
		if d.parent < 0 {
			n := uint64(c.below(i, points))
			c.place(a, i, k%n, points)
			k /= n
		}
	}
	return a
}

// place writes point number k of dimension i and its children.
func (c *cube) place(a Assignment, i int, k uint64, points int) {
	d := &c.dims[i]
	v := int(k)
	if len(d.children) > 0 {
		v = 0
		for n := uint64(c.under(i, 0, points)); k >= n; n = uint64(c.under(i, v, points)) {
			k -= n
			v++
		}
	}
	a[d.Name] = d.point(v, points)
	for _, child := range slices.Backward(d.children) {
		if c.dims[child].wants(a[d.Name], d) {
			n := uint64(c.below(child, points))
			c.place(a, child, k%n, points)
			k /= n
		}
	}
}

// count is how many values the dimension has when points stand for a continuum.
func (d *dim) count(points int) int {
	if d.levels > 0 {
		return d.levels
	}
	return points
}

// point spells value number k: those of a continuum are spread evenly over its
// scale, both ends included.
func (d *dim) point(k, points int) string {
	if d.levels > 0 {
		return d.word(k)
	}
	if points == 1 {
		return d.spell(0.5)
	}
	return d.spell(float64(k) / float64(points-1))
}
