// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"math"
	"math/rand/v2"
	"strconv"
)

// cube is a space as algorithms see it: each parameter is a coordinate from 0
// to 1 on the parameter's own scale, parents before the parameters that depend
// on them.
type cube struct {
	dims   []dim
	linear []Linear
	allows func(Assignment) bool
}

// newCube compiles a space that has no faults.
func newCube(s Space) *cube {
	c := &cube{linear: s.Linear, allows: s.Allows}
	order := parentsFirst(s.Parameters)
	at := map[string]int{}
	for _, i := range order {
		d := newDim(s.Parameters[i])
		d.parent = -1
		if d.When != nil {
			d.parent = at[d.When.Parameter]
		}
		at[d.Name] = len(c.dims)
		c.dims = append(c.dims, d)
	}
	for i, d := range c.dims {
		if d.parent >= 0 {
			c.dims[d.parent].children = append(c.dims[d.parent].children, i)
		}
	}
	return c
}

// parentsFirst is an order of the parameters in which each comes after the one
// its condition names, and otherwise as given. Parameters on a cycle are absent.
func parentsFirst(parameters []Parameter) []int {
	placed := map[string]bool{}
	var order []int
	for range parameters {
		for i, p := range parameters {
			if placed[p.Name] || p.When != nil && !placed[p.When.Parameter] {
				continue
			}
			placed[p.Name] = true
			order = append(order, i)
		}
	}
	return order
}

// active says whether dimension i exists, given the values of those before it.
func (c *cube) active(i int, a Assignment) bool {
	d := &c.dims[i]
	if d.parent < 0 {
		return true
	}
	value, ok := a[d.When.Parameter]
	return ok && d.wants(value, &c.dims[d.parent])
}

// present says which dimensions exist in an assignment, whatever else is in it.
func (c *cube) present(a Assignment) []bool {
	on := make([]bool, len(c.dims))
	for i := range c.dims {
		parent := c.dims[i].parent
		on[i] = (parent < 0 || on[parent]) && c.active(i, a)
	}
	return on
}

// assignment spells the point at u.
func (c *cube) assignment(u []float64) Assignment {
	a := make(Assignment, len(c.dims))
	for i := range c.dims {
		if c.active(i, a) {
			a[c.dims[i].Name] = c.dims[i].spell(u[i])
		}
	}
	return a
}

// vector is where an assignment lies in the cube; inactive coordinates are NaN.
// It is false for an assignment of another space.
func (c *cube) vector(a Assignment) ([]float64, bool) {
	u := make([]float64, len(c.dims))
	for i, on := range c.present(a) {
		u[i] = math.NaN()
		if !on {
			continue
		}
		at, ok := c.dims[i].unit(a[c.dims[i].Name])
		if !ok {
			return nil, false
		}
		u[i] = at
	}
	return u, true
}

// canonical spells an assignment as this space does, without what is inactive.
func (c *cube) canonical(a Assignment) Assignment {
	out := make(Assignment, len(c.dims))
	for i, on := range c.present(a) {
		if value, ok := a[c.dims[i].Name]; on && ok {
			out[c.dims[i].Name] = c.dims[i].respell(value)
		}
	}
	return out
}

// key is the same for two assignments if and only if they are the same point.
func (c *cube) key(a Assignment) string {
	b := make([]byte, 0, 128)
	for i, on := range c.present(a) {
		if value, ok := a[c.dims[i].Name]; on && ok {
			b = append(append(strconv.AppendInt(b, int64(i), 10), '='), c.dims[i].respell(value)...)
			b = append(b, 0)
		}
	}
	return string(b)
}

// meets says whether an assignment is within all constraints.
func (c *cube) meets(a Assignment) bool {
	for _, l := range c.linear {
		if !c.within(l, a) {
			return false
		}
	}
	return c.allows == nil || c.allows(a)
}

// within sums in the order of the dimensions, for a sum of floats depends on it.
// The tolerance lets a bound that is met exactly in decimals be met.
func (c *cube) within(l Linear, a Assignment) bool {
	sum, size := 0.0, math.Abs(l.Bound)
	for i := range c.dims {
		value, ok := c.dims[i].number(a[c.dims[i].Name])
		if !ok {
			continue
		}
		term := l.Coefficients[c.dims[i].Name] * value
		sum, size = sum+term, size+math.Abs(term)
	}
	return sum <= l.Bound+1e-12*size
}

// constrained says whether some points of the cube may be forbidden.
func (c *cube) constrained() bool { return len(c.linear) > 0 || c.allows != nil }

// uniform is a point of the cube by chance.
func (c *cube) uniform(r *rand.Rand) []float64 { return chance(len(c.dims), r) }

// draws is how often a point is drawn again when constraints forbid it or the
// search has seen it, before the space is listed or given up. It is twice what
// Validate draws, so that what it found is not soon lost.
const draws = 2 * probes

// draw is a random point that meets the constraints and is not seen. It is
// false when there is none left, or none was found.
func (c *cube) draw(r *rand.Rand, seen map[string]bool) (Assignment, bool) {
	size, finite := c.size(0)
	for range draws {
		a := c.assignment(c.uniform(r))
		if !seen[c.key(a)] && c.meets(a) {
			return a, true
		}
		// Nearly exhausted: listing what is left is cheaper than meeting it by chance.
		if finite && size <= 2*uint64(len(seen)) {
			break
		}
	}
	if !finite || size > listable {
		return nil, false
	}
	left := c.left(0, seen)
	if len(left) == 0 {
		return nil, false
	}
	return c.at(left[r.IntN(len(left))], 0), true
}

// left are the numbers of the points that are neither seen nor forbidden.
func (c *cube) left(points int, seen map[string]bool) []uint64 {
	size, _ := c.size(points)
	var left []uint64
	for i := range size {
		if a := c.at(i, points); c.meets(a) && !seen[c.key(a)] {
			left = append(left, i)
		}
	}
	return left
}
