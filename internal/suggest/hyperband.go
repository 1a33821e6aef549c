// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"fmt"
	"math"
	"strconv"
)

var bohbSettings = append([]Setting{
	{Name: "random_fraction", Kind: Real, Range: between(0, 1), Default: "0.3333333333333333", Doc: "the share of configurations that is drawn at random in spite of the model"},
	{Name: "min_points_in_model", Kind: Whole, Range: atLeast(1), Doc: "how many results a resource needs to have a model, by default one more than there are parameters"},
	{Name: "gamma", Aliases: []string{"top_share"}, Kind: Real, Range: positiveBelow(1), Default: "0.15", Doc: "the share of the results that counts as good, of which at most 25 are used"},
	{Name: "n_ei_candidates", Aliases: []string{"num_samples"}, Kind: Whole, Range: between(1, 10000), Default: "64", Doc: "how many points are compared for a proposal"},
	{Name: "prior_weight", Kind: Real, Range: positive, Default: "1", Doc: "how much the prior weighs in comparison with a trial"},
}, ladderSettings...)

// hyperband proposes with configurations by chance.
func hyperband(s *search, n int) Answer { return newLadder(s).hyperband(n) }

// bohb proposes with configurations by a model of the largest resource that has
// enough results (Falkner et al. 2018).
func bohb(s *search, n int) Answer {
	l := newLadder(s)
	chance := l.draw
	l.draw = func(index int) (Proposal, bool) {
		facts := l.informative()
		if stream(s.Seed, "bohb", index).Float64() < s.set.float("random_fraction") || facts == nil {
			return chance(index)
		}
		return l.configs.modelled(facts, true, index)
	}
	return l.hyperband(n)
}

// informative are the results of the largest resource that has enough of them, and
// what is pending. It is nil when none has.
func (l *ladder) informative() []fact {
	enough := len(l.configs.cube.dims) + 1
	if l.set.has("min_points_in_model") {
		enough = l.set.int("min_points_in_model")
	}
	by, waiting := map[string][]fact{}, []fact(nil)
	for _, f := range l.facts {
		g, ok := l.configs.fact(f.trial)
		resource := f.trial.Labels[resourceLabel]
		switch {
		case ok && g.state == Pending:
			waiting = append(waiting, g)
		case ok:
			by[resource] = append(by[resource], g)
		}
	}
	best, most := []fact(nil), math.Inf(-1)
	for resource, facts := range by {
		if r := parse(resource); r > most && known(facts) >= enough {
			best, most = facts, r
		}
	}
	if best == nil {
		return nil
	}
	return append(best, waiting...)
}

// bandPlace is a rung of a bracket of a round.
type bandPlace struct{ round, bracket, rung int }

func placeInBand(labels map[string]string) (bandPlace, bool) {
	round, ok1 := label(labels, roundLabel)
	bracket, ok2 := label(labels, bracketLabel)
	rung, ok3 := label(labels, rungLabel)
	return bandPlace{round, bracket, rung}, ok1 && ok2 && ok3
}

func (p bandPlace) labels() map[string]string {
	return map[string]string{roundLabel: strconv.Itoa(p.round), bracketLabel: strconv.Itoa(p.bracket), rungLabel: strconv.Itoa(p.rung)}
}

// hyperband fills the first place that is open. While a rung waits for its last
// trials the next bracket begins, so that any number of trials runs at once.
func (l *ladder) hyperband(n int) Answer {
	waiting := false
	places := rungs(l, placeInBand)
	answer := l.each(n, func(index int) (Proposal, bool) {
		waiting = false
		for round := 0; ; round++ {
			for bracket := l.steps; bracket >= 0; bracket-- {
				q, open := l.inBracket(places, bandPlace{round, bracket, 0}, index)
				if q != nil {
					at, _ := placeInBand(q.Labels)
					enter(l, places, at, *q)
					return *q, true
				}
				waiting = waiting || open
			}
			// No configuration is left that would begin another round.
			if l.dry && len(places[bandPlace{round + 1, l.steps, 0}]) == 0 {
				return Proposal{}, false
			}
		}
	})
	return l.ended(answer, waiting)
}

// ended is the answer of a ladder that has no new configurations, and waits for nothing.
func (l *ladder) ended(answer Answer, waiting bool) Answer {
	if l.dry && !waiting && len(answer.Proposals) == 0 {
		answer.Exhausted = l.configs.exhausted()
	}
	return answer
}

// inBracket is the next proposal of the bracket with that first rung, nil when there
// is none now; open says whether there will be one when trials complete.
func (l *ladder) inBracket(places map[bandPlace][]standing, first bandPlace, index int) (q *Proposal, open bool) {
	bracket := first.bracket
	size := int(math.Ceil(float64(l.steps+1)*math.Pow(l.eta, float64(bracket))/float64(bracket+1) - 1e-9))
	if len(places[first]) < size && !l.dry {
		if q, ok := l.start(index, bracket, first.labels()); ok {
			return &q, true
		}
	}
	for rung := range bracket {
		here, above := bandPlace{first.round, bracket, rung}, bandPlace{first.round, bracket, rung + 1}
		if pending(places[here]) {
			return nil, true
		}
		keep := max(1, int(float64(len(places[here]))/l.eta+1e-9))
		if best := promotable(places[here], places[above], keep); len(best) > 0 {
			why := fmt.Sprintf("among the best %d of %d of rung %d of bracket %d", keep, len(places[here]), rung, bracket)
			q := l.goOn(best[0].fact.trial, bracket-rung-1, above.labels(), why)
			return &q, true
		}
	}
	return nil, pending(places[bandPlace{first.round, bracket, bracket}])
}
