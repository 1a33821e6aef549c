// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
)

var pbtSettings = []Setting{
	{Name: "n_population", Aliases: []string{"population_size"}, Kind: Whole, Range: between(2, 10000), Default: "20", Doc: "how many members train side by side"},
	{Name: "truncation_threshold", Kind: Real, Range: between(0, 1), Default: "0.2", Doc: "the share of the members that is replaced, by copies of the same share of the best; more than a half is a half"},
	{Name: "resample_probability", Kind: Real, Range: between(0, 1), Default: "0.25", Doc: "how likely a copied parameter is drawn anew instead of being changed a little"},
	{Name: "suggestion_trial_dir", Kind: Text, Doc: "accepted for Katib's manifests and without effect: a trial continues from its parent's checkpoint"},
	randomState,
}

func pbtFaults(p Problem, _ settings) []Fault { return oneObjective(p, "PBT") }

// slotLabel is the member of the population that a trial is of.
const slotLabel = "slot"

// life is a generation of a slot.
type life struct{ slot, generation int }

func lifeOf(t *Trial) (life, bool) {
	slot, ok1 := label(t.Labels, slotLabel)
	generation, ok2 := label(t.Labels, generationLabel)
	return life{slot, generation}, ok1 && ok2
}

func (l life) labels() map[string]string {
	return map[string]string{slotLabel: strconv.Itoa(l.slot), generationLabel: strconv.Itoa(l.generation)}
}

// pbt trains a population (Jaderberg et al. 2017): each generation of a member
// continues its last one, or, when that was among the worst of its generation,
// continues from the checkpoint of one of the best, with parameters that are
// changed a little.
func pbt(s *search, n int) Answer {
	return s.each(n, func(index int) (Proposal, bool) {
		c := s.population()
		slot := c.idle()
		if slot < 0 {
			return Proposal{}, false
		}
		r, next := stream(s.Seed, "pbt", index), life{slot, c.lived[slot] + 1}
		if next.generation == 0 {
			return s.born(r, next)
		}
		return s.nextLife(r, c, next)
	})
}

// population is the members and their lives.
type population struct {
	lives map[life]fact
	lived []int // the last generation of each slot, -1 is none
}

func (s *search) population() population {
	c := population{lives: map[life]fact{}, lived: make([]int, s.set.int("n_population"))}
	for i := range c.lived {
		c.lived[i] = -1
	}
	for i := range s.own {
		l, ok := lifeOf(&s.own[i])
		f, known := s.fact(&s.own[i])
		if ok && known && l.slot >= 0 && l.slot < len(c.lived) {
			c.lives[l], c.lived[l.slot] = f, max(c.lived[l.slot], l.generation)
		}
	}
	return c
}

// idle is the slot that is to go on: of those that run nothing the one that has
// lived least. It is -1 when all run, and while not even half of the generation
// has finished that it would be compared with.
func (c population) idle() int {
	slot := -1
	for i, lived := range c.lived {
		running := lived >= 0 && c.lives[life{i, lived}].state == Pending
		if !running && (slot < 0 || lived < c.lived[slot]) {
			slot = i
		}
	}
	if slot < 0 || c.lived[slot] >= 0 && 2*len(c.finished(c.lived[slot])) < len(c.lived) {
		return -1
	}
	return slot
}

// finished are the lives of a generation that have ended, by slot.
func (c population) finished(generation int) []fact {
	var out []fact
	for slot := range c.lived {
		if f, ok := c.lives[life{slot, generation}]; ok && f.state != Pending {
			out = append(out, f)
		}
	}
	return out
}

// born is a member by chance; in a space that is smaller than the population there are twins.
func (s *search) born(r *rand.Rand, l life) (Proposal, bool) {
	a, ok := s.cube.draw(r, s.seen)
	if !ok {
		a, ok = s.cube.draw(r, nil)
	}
	return Proposal{Assignment: a, Labels: l.labels(), Why: "drawn at random"}, ok
}

// nextLife continues a slot, by itself or as the copy of a better one.
func (s *search) nextLife(r *rand.Rand, c population, next life) (Proposal, bool) {
	last := c.lives[life{next.slot, next.generation - 1}]
	best, replaced := s.better(c.finished(next.generation-1), last)
	switch {
	case !replaced:
		q := Proposal{Assignment: s.cube.canonical(last.trial.Assignment), Labels: next.labels(), Parent: last.trial.Name}
		q.Why = fmt.Sprintf("generation %d of member %d", next.generation, next.slot)
		return q, true
	case len(best) == 0:
		return s.born(r, next)
	}
	winner := best[r.IntN(len(best))]
	q := Proposal{Assignment: s.explored(r, winner), Labels: next.labels(), Parent: winner.trial.Name}
	q.Why = fmt.Sprintf("a copy of %s with other parameters, in place of member %d", winner.trial.Name, next.slot)
	return q, true
}

// better says whether a life is among the worst of its generation, or came to
// nothing, and which are the best.
func (s *search) better(generation []fact, own fact) ([]fact, bool) {
	ranked := slices.DeleteFunc(generation, func(f fact) bool { return f.loss == nil })
	slices.SortStableFunc(ranked, func(a, b fact) int { return cmp.Compare(a.loss[0], b.loss[0]) })
	share := min(int(math.Ceil(s.set.float("truncation_threshold")*float64(len(ranked)))), len(ranked)/2)
	if own.loss == nil {
		return ranked[:min(max(share, 1), len(ranked))], true
	}
	worst := slices.ContainsFunc(ranked[len(ranked)-share:], func(f fact) bool { return f.trial == own.trial })
	return ranked[:share], worst
}

// explored is the winner's assignment with each parameter changed: one that meets
// the constraints, or, when none is found, as it is.
func (s *search) explored(r *rand.Rand, winner fact) Assignment {
	for range attempts {
		u := s.cube.uniform(r)
		for i := range u {
			d := &s.cube.dims[i]
			if !math.IsNaN(winner.at[i]) && r.Float64() >= s.set.float("resample_probability") {
				u[i] = d.nudged(winner.at[i], winner.trial.Assignment[d.Name], r)
			}
		}
		if a := s.cube.assignment(u); s.cube.meets(a) {
			return a
		}
	}
	return s.cube.canonical(winner.trial.Assignment)
}

// nudged is a value a fifth smaller or larger, at least the next one of a finite
// dimension; a neighbour in an order; of words without one, another.
func (d *dim) nudged(u float64, value string, r *rand.Rand) float64 {
	up := r.IntN(2) == 1
	if d.Type == Categorical {
		return d.centre((d.level(u) + 1 + r.IntN(max(d.levels-1, 1))) % d.levels)
	}
	sign := -1.0
	if up {
		sign = 1
	}
	if d.words != nil {
		return d.centre(clip(d.level(u)+int(sign), d.levels))
	}
	v := parse(value)
	by := max(math.Abs(v)/5, d.Step)
	if by == 0 {
		by = (d.Max - d.Min) / 5
	}
	return d.scale.unit(min(max(v+sign*by, d.Min), d.Max))
}
