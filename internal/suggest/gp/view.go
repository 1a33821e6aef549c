// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gp

import "math"

// view is a model of each objective, and what they hold for the best so far.
type view struct {
	models    []*model
	front     [][]float64 // warped outcomes that are known or believed, and not beaten
	reference []float64   // the worst warped outcome of interest, by objective
	spread    float64     // the standard deviation of the first objective's warped values
}

// rank finds the front and the reference.
func (v *view) rank(known Evidence) {
	outcomes := v.expected(known.Points)
	v.front = thin(undominated(outcomes), mostFront(len(v.models)))
	v.spread = v.models[0].deviation(known.objective(0))
	for k, m := range v.models {
		worst, best, nadir := math.Inf(-1), math.Inf(1), math.Inf(-1)
		for _, y := range outcomes {
			worst, best = max(worst, y[k]), min(best, y[k])
		}
		for _, y := range v.front {
			nadir = max(nadir, y[k])
		}
		r := nadir + 0.1*(worst-best)
		if given := known.Reference[k]; !math.IsNaN(given) {
			r = m.warp.apply(given)
		}
		v.reference = append(v.reference, r)
	}
}

// expected is what the models expect at points, by point and objective.
func (v *view) expected(points [][]float64) [][]float64 {
	outcomes := make([][]float64, len(points))
	for _, m := range v.models {
		for i, e := range m.all(points) {
			outcomes[i] = append(outcomes[i], e.mean)
		}
	}
	return outcomes
}

// believe takes a pending point for a trial that will bring less than is expected, by
// a deviation. Where much is unknown that sends the others of a batch elsewhere than
// right beside it, and where little is, what is promised there stays promising:
// batches of what is expected itself went to one corner of the space after the other.
func (v *view) believe(point []float64) {
	outcome := make([]float64, len(v.models))
	for k, m := range v.models {
		e := m.at(point, slope{})
		outcome[k] = e.mean + e.deviation
		m.add(point, e.deviation)
	}
	v.front = undominated(append(v.front, outcome))
}

// acquisition scores points of the search. Of a single objective only an
// improvement of more than margin spreads counts.
func (v *view) acquisition(s *Search, margin float64) *acquisition {
	a := &acquisition{models: v.models, rule: s.rule, works: s.works, cells: cells(v.front, v.reference)}
	if len(v.models) == 1 {
		a.cells[0].upper[0] -= margin * v.spread
	}
	return a
}
