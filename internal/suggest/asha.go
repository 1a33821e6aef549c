// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"fmt"
	"strconv"
)

// asha promotes a configuration as soon as it is among the best 1/eta of its rung
// by what has finished there, the highest rung first, and begins a new one when
// there is nobody to promote (Li et al. 2020). No trial waits for another.
func asha(s *search, n int) Answer {
	l := newLadder(s)
	place := func(labels map[string]string) (int, bool) { return label(labels, rungLabel) }
	places, waiting := rungs(l, place), false
	answer := l.each(n, func(index int) (Proposal, bool) {
		q, ok := l.climb(places, index)
		waiting = !ok && anyPending(places)
		if !ok && !waiting {
			// Nobody is left to compare with: the best of each rung goes on.
			q, ok = l.promotion(places, 1)
		}
		if rung, known := place(q.Labels); ok && known {
			enter(l, places, rung, q)
		}
		return q, ok
	})
	return l.ended(answer, waiting)
}

// climb is a promotion or, when there is none, a new configuration.
func (l *ladder) climb(places map[int][]standing, index int) (Proposal, bool) {
	if q, ok := l.promotion(places, 0); ok {
		return q, true
	}
	if l.dry {
		return Proposal{}, false
	}
	return l.start(index, l.steps, map[string]string{rungLabel: "0"})
}

func anyPending(places map[int][]standing) bool {
	for _, rung := range places {
		if pending(rung) {
			return true
		}
	}
	return false
}

// promotion is the best configuration to go on, of the highest rung that has one.
// At least so many go on from a rung that has finished.
func (l *ladder) promotion(places map[int][]standing, least int) (Proposal, bool) {
	for rung := l.steps - 1; rung >= 0; rung-- {
		there := 0
		for _, s := range places[rung] {
			there += btoi(s.fact.state != Pending)
		}
		keep := max(least, int(float64(there)/l.eta+1e-9))
		best := promotable(places[rung], places[rung+1], keep)
		if len(best) > 0 {
			why := fmt.Sprintf("among the best %d of %d of rung %d", keep, there, rung)
			labels := map[string]string{rungLabel: strconv.Itoa(rung + 1)}
			return l.goOn(best[0].fact.trial, l.steps-rung-1, labels, why), true
		}
	}
	return Proposal{}, false
}
