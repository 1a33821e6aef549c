// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"cmp"
	"math"
	"slices"
)

// fact is what is known of a trial, as models see it.
type fact struct {
	trial *Trial
	at    []float64 // in the cube; NaN where a parameter is inactive
	loss  []float64 // one for each objective, smaller is better; nil when Pending or Failed
	step  float64   // of Stopped: how far it came
	state State     // Succeeded without usable values is Failed here
	own   int       // its number among the search's own trials; -1 of others
}

// evidence is what trials say: those of other searches, and then our own, in the
// order of their completion and then, the pending ones, of their proposal. A trial
// of another space says nothing.
func (s *search) evidence(trials []Trial) []fact {
	facts := make([]fact, 0, len(trials))
	own := 0
	for i := range trials {
		f, ok := s.fact(&trials[i])
		if f.own = -1; !trials[i].Prior {
			f.own = own
			own++
		}
		if ok {
			facts = append(facts, f)
		}
	}
	slices.SortStableFunc(facts, func(a, b fact) int {
		return cmp.Or(cmp.Compare(min(a.own, 0), min(b.own, 0)), cmp.Compare(finished(a.trial), finished(b.trial)))
	})
	return facts
}

func finished(t *Trial) int {
	if t.Finished <= 0 {
		return math.MaxInt
	}
	return t.Finished
}

func (s *search) fact(t *Trial) (fact, bool) {
	at, ok := s.cube.vector(t.Assignment)
	f := fact{trial: t, at: at, state: t.State}
	if t.State == Succeeded {
		f.loss = losses(s.Objectives, t.Values)
	}
	if t.State == Stopped {
		f.step, f.loss = reached(s.Objectives, t.Curve)
	}
	if t.State != Pending && f.loss == nil {
		f.state = Failed
	}
	return f, ok
}

// losses turns values so that smaller is better. It is nil unless there is a
// finite one for each objective: a NaN is a failure, and never a winner.
func losses(objectives []Objective, values []float64) []float64 {
	if len(objectives) == 0 || len(values) != len(objectives) {
		return nil
	}
	out := make([]float64, len(values))
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		out[i] = objectives[i].loss(v)
	}
	return out
}

func (o Objective) loss(v float64) float64 {
	if o.Direction == Maximize {
		return -v
	}
	return v
}

// reached is the last usable point of a curve. With several objectives it says
// nothing of the others, and so nothing.
func reached(objectives []Objective, curve []Point) (float64, []float64) {
	if len(objectives) != 1 {
		return 0, nil
	}
	step, loss := math.Inf(-1), []float64(nil)
	for _, p := range curve {
		if l := losses(objectives, []float64{p.Value}); l != nil && p.Step >= step {
			step, loss = p.Step, l
		}
	}
	return step, loss
}
