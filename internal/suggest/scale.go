// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import "math"

// scale maps the values of a numeric parameter to [0, 1] and back. Steps have
// half a step of room beyond both ends, so that each value, the ends too, is as
// wide as its neighbours.
type scale struct {
	log, normal bool
	lo, hi      float64 // the ends, in the logarithm when log
	mean, dev   float64 // of normal
	below, mass float64 // of normal: what lies below lo, and between lo and hi
}

func newScale(p Parameter) scale {
	s := scale{
		log:    p.Distribution == LogUniform || p.Distribution == LogNormal,
		normal: p.Distribution == Normal || p.Distribution == LogNormal,
	}
	lo, hi := p.Min-p.Step/2, p.Max+p.Step/2
	if p.Max <= p.Min {
		lo, hi = p.Min, p.Min
	}
	if s.log {
		// Half a step below a small minimum may not be above zero.
		lo = max(lo, p.Min/2)
	}
	s.lo, s.hi = s.forward(lo), s.forward(hi)
	if s.normal {
		s.fit(p)
	}
	return s
}

// fit places the bell, cut off at the ends of the range.
func (s *scale) fit(p Parameter) {
	s.mean, s.dev = (s.lo+s.hi)/2, (s.hi-s.lo)/6
	if p.Mean != nil {
		s.mean = *p.Mean
	}
	if p.StdDev != nil {
		s.dev = *p.StdDev
	}
	s.below = normalBelow((s.lo - s.mean) / s.dev)
	s.mass = normalBelow((s.hi-s.mean)/s.dev) - s.below
	// A range far out in the tail has no mass to tell its values apart by.
	s.normal = s.dev > 0 && s.mass > 1e-9
}

func (s *scale) forward(v float64) float64 {
	if s.log {
		return math.Log(v)
	}
	return v
}

// value is what is at u.
func (s *scale) value(u float64) float64 {
	t := s.lo + u*(s.hi-s.lo)
	if s.normal {
		t = s.mean + s.dev*normalQuantile(s.below+u*s.mass)
		t = min(max(t, s.lo), s.hi)
	}
	if s.log {
		return math.Exp(t)
	}
	return t
}

// unit is where v is, 0 to 1.
func (s *scale) unit(v float64) float64 {
	t := s.forward(v)
	switch {
	case s.hi <= s.lo:
		return 0.5
	case s.normal:
		t = (normalBelow((t-s.mean)/s.dev) - s.below) / s.mass
	default:
		t = (t - s.lo) / (s.hi - s.lo)
	}
	return min(max(t, 0), 1)
}

// normalBelow is the share of the standard normal distribution below z.
func normalBelow(z float64) float64 { return math.Erfc(-z/math.Sqrt2) / 2 }

// normalQuantile is the z below which the share p lies.
func normalQuantile(p float64) float64 { return -math.Sqrt2 * math.Erfcinv(2*p) }
