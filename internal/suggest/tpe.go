// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// The tree-structured Parzen estimator (Bergstra et al. 2011), by the rules of
// Optuna 5: the tenth of the trials that are best make one density, the others
// another, and of some points drawn from the first the one is proposed whose
// ratio of the two is highest.

var tpeSettings = []Setting{
	{Name: "n_startup_trials", Aliases: []string{"n_startup_jobs"}, Kind: Whole, Range: atLeast(0), Default: "10", Doc: "how many results are awaited, with proposals that are spread evenly, before there is a model"},
	{Name: "n_ei_candidates", Aliases: []string{"n_EI_candidates"}, Kind: Whole, Range: between(1, 10000), Doc: "how many points are compared for a proposal; by default 24, and 8 for each number in a joint density if that is more"},
	{Name: "gamma", Kind: Real, Range: positiveBelow(1), Default: "0.1", Doc: "the share of the trials that counts as good, of which at most 25 are used"},
	{Name: "prior_weight", Kind: Real, Range: positive, Default: "1", Doc: "how much the prior weighs in comparison with a trial"},
	randomState,
}

// maxGood is the most trials that count as good.
const maxGood = 25

// tpe is the search with a density for each parameter, or a joint one.
func tpe(joint bool) func(s *search, n int) Answer {
	return func(s *search, n int) Answer {
		start := s.spread("drawn evenly, before there is a model")
		return s.eachNew(n, func(index int) (Proposal, bool) {
			if known(s.facts) < s.set.int("n_startup_trials") {
				return start(index)
			}
			return s.modelled(s.facts, joint, index)
		})
	}
}

// known is how many trials have a loss.
func known(facts []fact) int {
	n := 0
	for _, f := range facts {
		n += btoi(f.loss != nil)
	}
	return n
}

// attempts is how often a model is asked again for a point that is new and meets
// the constraints, before chance is.
const attempts = 30

// modelled is the proposal of a density ratio, of a point that is new.
func (s *search) modelled(facts []fact, joint bool, index int) (Proposal, bool) {
	r := stream(s.Seed, "tpe", index)
	good, bad := split(facts, s.set.float("gamma"))
	ratios := map[string]*ratio{}
	for range attempts {
		a := s.cube.assignment(s.likely(r, good, bad, s.cube.groups(joint), ratios))
		if !s.seen[s.cube.key(a)] && s.cube.meets(a) {
			return Proposal{Assignment: a, Why: fmt.Sprintf("most like the best %d of %d results", len(good), known(facts))}, true
		}
	}
	return s.drawn("tpe-drawn", index, "drawn at random, for the model proposes what is tried or forbidden")
}

// group is dimensions that exist under the same condition, and so together.
type group struct {
	name string
	dims []int
}

// groups are the dimensions in groups, parents before children, or each by itself.
func (c *cube) groups(joint bool) []group {
	var out []group
	for i, d := range c.dims {
		name := d.Name
		if joint && d.When == nil {
			name = ""
		} else if joint {
			name = fmt.Sprintf("%s=%q", d.When.Parameter, slices.Sorted(slices.Values(d.When.Values)))
		}
		at := slices.IndexFunc(out, func(g group) bool { return g.name == name })
		if at < 0 {
			out = append(out, group{name: name})
			at = len(out) - 1
		}
		out[at].dims = append(out[at].dims, i)
	}
	return out
}

// likely is a point of the cube where each group's ratio is high.
func (s *search) likely(r *rand.Rand, good, bad []fact, groups []group, ratios map[string]*ratio) []float64 {
	u := make([]float64, len(s.cube.dims))
	for _, g := range groups {
		if !s.cube.active(g.dims[0], s.cube.assignment(u)) {
			continue
		}
		if ratios[g.name] == nil {
			ratios[g.name] = s.ratio(g, good, bad)
		}
		for j, v := range ratios[g.name].best(r, s.candidates(g)) {
			u[g.dims[j]] = v
		}
	}
	return u
}

// candidates is how many points of a group are compared. More find the top of the
// ratio in more dimensions; but words are exhausted by a few, and too many of
// them leave nothing to chance.
func (s *search) candidates(g group) int {
	if s.set.has("n_ei_candidates") {
		return s.set.int("n_ei_candidates")
	}
	numbers := 0
	for _, i := range g.dims {
		numbers += btoi(s.cube.dims[i].Type != Categorical)
	}
	return max(24, 8*numbers)
}

// ratio is the two densities of a group.
type ratio struct{ good, bad *parzen }

func (s *search) ratio(g group, good, bad []fact) *ratio {
	dims := make([]*dim, len(g.dims))
	for j, i := range g.dims {
		dims[j] = &s.cube.dims[i]
	}
	weight := s.set.float("prior_weight")
	return &ratio{newParzen(dims, columns(g, good), weight), newParzen(dims, columns(g, bad), weight)}
}

// columns are the coordinates of a group in the trials in which it exists.
func columns(g group, facts []fact) [][]float64 {
	var out [][]float64
	for _, f := range facts {
		if math.IsNaN(f.at[g.dims[0]]) {
			continue
		}
		row := make([]float64, len(g.dims))
		for j, i := range g.dims {
			row[j] = f.at[i]
		}
		out = append(out, row)
	}
	return out
}

// best is the one of n points of the good density with the highest ratio.
func (q *ratio) best(r *rand.Rand, n int) []float64 {
	var best []float64
	most := math.Inf(-1)
	for range n {
		x := q.good.sample(r)
		if score := q.good.logDensity(x) - q.bad.logDensity(x); best == nil || score > most {
			best, most = x, score
		}
	}
	return best
}

// gaps are the widths of kernels: the distance to the farther neighbour, in a joint
// density too. (Scott's rule, which Optuna has there, finds two to four times less.)
func gaps(at []float64) []float64 {
	n := len(at)
	all := append(slices.Clone(at), 0.5) // with the prior's mean
	order := make([]int, n+1)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(all[a], all[b]) })
	out := make([]float64, n+1)
	for i, k := range order {
		lo, hi := 0.0, 1.0
		if i > 0 {
			lo = all[order[i-1]]
		}
		if i < n {
			hi = all[order[i+1]]
		}
		out[k] = max(all[k]-lo, hi-all[k])
		// The ends of the range are no neighbours of the outermost observations.
		if n > 0 && i == 0 {
			out[k] = hi - all[k]
		}
		if n > 0 && i == n {
			out[k] = all[k] - lo
		}
	}
	return clipped(out)
}

// clipped keeps kernels from being so narrow that a search is stuck in them. The
// last one, the prior's, is as wide as the range.
func clipped(widths []float64) []float64 {
	least := 1 / min(100, 1+float64(len(widths)))
	for i := range widths {
		widths[i] = min(max(widths[i], least), 1)
	}
	widths[len(widths)-1] = 1
	return widths
}
