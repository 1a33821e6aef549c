// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"fmt"
	"math"
	"slices"

	"github.com/millrace-ml/millrace/internal/suggest/gp"
)

// bayesSettings are those of scikit-optimize, which Katib's users know.
var bayesSettings = []Setting{
	{Name: "base_estimator", Kind: Enum, Words: []string{"GP"}, Default: "GP", Doc: "the model: a Gaussian process; forests and boosted trees are not offered"},
	{Name: "n_initial_points", Kind: Whole, Range: atLeast(0), Doc: "how many trials are spread evenly before there is a model; by default two for each parameter, at most 10"},
	{Name: "acq_func", Kind: Enum, Words: []string{"gp_hedge", "EI", "LCB", "PI"}, Default: "gp_hedge", Doc: "what a proposal has most of: expected improvement with every third proposal, and in batches every second, made to look elsewhere (gp_hedge), expected improvement (EI), the lower confidence bound (LCB) or the probability of improvement (PI); several objectives always have the hypervolume's expected improvement"},
	{Name: "acq_optimizer", Kind: Enum, Words: []string{"auto", "lbfgs", "sampling"}, Default: "auto", Doc: "how that is found: by random points and local search (auto, lbfgs) or by random points alone (sampling)"},
	randomState,
}

// bayes is Bayesian optimisation with Gaussian processes.
func bayes(s *search, n int) Answer {
	start, b := s.spread("drawn evenly, before there is a model"), bayesian{search: s}
	return s.eachNew(n, func(index int) (Proposal, bool) {
		if b.early() {
			return start(index)
		}
		return b.propose(index)
	})
}

// bayesian is one call's model: it is fitted once, and told of each proposal.
type bayesian struct {
	*search
	model    *gp.Search
	believed int // how many pending trials it knows
}

// early says whether there is too little to make a model of.
func (b *bayesian) early() bool {
	initial := min(2*len(b.cube.dims), 10)
	if b.set.has("n_initial_points") {
		initial = b.set.int("n_initial_points")
	}
	return len(b.facts) < initial || known(b.facts) < max(1, min(3, initial))
}

// propose is the point the model promises most of.
func (b *bayesian) propose(index int) (Proposal, bool) {
	space := gp.Space{Axes: b.cube.axes(), Snap: b.snapper()}
	if b.model == nil {
		b.model = gp.New(space, b.rule(), b.known())
	}
	b.believe()
	options := gp.Options{Climb: b.set.word("acq_optimizer") != "sampling", Bold: b.bold(index)}
	raw, ok := b.model.Propose(stream(b.Seed, "bayes", index), options)
	if !ok {
		return b.drawn("bayes-drawn", index, "drawn at random, for constraints and earlier trials leave the model nothing")
	}
	a := b.cube.assignment(raw)
	if b.seen[b.cube.key(a)] || !b.cube.meets(a) {
		return b.drawn("bayes-drawn", index, "drawn at random, for the model proposes what is tried or forbidden")
	}
	why := "promises most by a model of %d results"
	if options.Bold {
		why = "promises most progress elsewhere by a model of %d results"
	}
	return Proposal{Assignment: a, Why: fmt.Sprintf(why, known(b.facts))}, true
}

// bold says whether a proposal is to look where the model may be wrong: every third
// one, and every second of those that others are pending beside. What is left to
// polish when those have their results is one point; the rest of a batch does more
// elsewhere.
func (b *bayesian) bold(index int) bool {
	every := 3
	if b.believed > 0 {
		every = 2
	}
	return b.set.word("acq_func") == "gp_hedge" && index%every == 1
}

// rule is the acquisition function of one objective.
func (b *bayesian) rule() gp.Rule {
	if rule, ok := gp.Rules[b.set.word("acq_func")]; ok {
		return rule
	}
	return gp.Rules["EI"]
}

// known is what finished trials say to the model. One that was stopped early is
// taken for what it reached, and for no better than half of those that were not:
// it was stopped because it did badly.
func (b *bayesian) known() gp.Evidence {
	middle := b.middle()
	var e gp.Evidence
	for _, f := range b.facts {
		if f.state == Pending {
			continue
		}
		loss := f.loss
		if f.state == Stopped && loss != nil {
			loss = []float64{max(loss[0], middle)}
		}
		e.Points, e.Losses = append(e.Points, f.at), append(e.Losses, loss)
	}
	for _, o := range b.Objectives {
		reference := math.NaN()
		if o.Reference != nil {
			reference = o.loss(*o.Reference)
		}
		e.Reference = append(e.Reference, reference)
	}
	return e
}

// middle is the median of the first losses of trials that ran to their end.
func (b *bayesian) middle() float64 {
	var losses []float64
	for _, f := range b.facts {
		if f.state == Succeeded {
			losses = append(losses, f.loss[0])
		}
	}
	if len(losses) == 0 {
		return math.Inf(-1)
	}
	slices.Sort(losses)
	return losses[len(losses)/2]
}

// believe tells the model of the pending trials it does not know yet.
func (b *bayesian) believe() {
	at := 0
	for _, f := range b.facts {
		if f.state != Pending {
			continue
		}
		if at++; at > b.believed {
			b.model.Believe(b.cube.snapped(f.at))
			b.believed = at
		}
	}
}

// countable is the most values an axis has for a search that looks at them one by one.
const countable = 64

// axes are the dimensions as models see them.
func (c *cube) axes() []gp.Axis {
	axes := make([]gp.Axis, len(c.dims))
	for i := range c.dims {
		d := &c.dims[i]
		if d.Type == Categorical {
			axes[i].Words = d.levels
		} else if d.levels > 0 && d.levels <= countable {
			for k := range d.levels {
				axes[i].Levels = append(axes[i].Levels, d.centre(k))
			}
		}
	}
	return axes
}

// snapper moves points of the cube onto the space. On a finite one, and with
// constraints, it finds out what may not be proposed.
func (b *bayesian) snapper() func(raw, point []float64) bool {
	_, finite := b.cube.size(0)
	checked := finite || b.cube.constrained()
	return func(raw, point []float64) bool {
		b.cube.snap(raw, point)
		if !checked {
			return true
		}
		a := b.cube.assignment(raw)
		return !b.seen[b.cube.key(a)] && b.cube.meets(a)
	}
}

// snap writes the middle of the value that each coordinate of raw is of; NaN
// where the parameter does not exist.
func (c *cube) snap(raw, point []float64) {
	for i := range c.dims {
		d := &c.dims[i]
		point[i] = raw[i]
		switch {
		case d.parent >= 0 && (math.IsNaN(point[d.parent]) || !d.wants(c.dims[d.parent].spell(raw[d.parent]), &c.dims[d.parent])):
			point[i] = math.NaN()
		case d.levels > 0:
			point[i] = d.centre(d.level(raw[i]))
		}
	}
}

func (c *cube) snapped(raw []float64) []float64 {
	point := make([]float64, len(raw))
	c.snap(raw, point)
	return point
}
