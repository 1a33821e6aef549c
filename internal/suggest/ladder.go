// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
)

// Hyperband, ASHA and BOHB give many configurations a little of a resource, as
// epochs, and more of it to those that do well. There are two ways of giving more:
//
//   - with resource_name, a parameter of the space is the resource, and a
//     configuration that goes on is a new trial from the beginning;
//   - without, the label resource of a trial says how far it is to train, and a
//     configuration that goes on continues from the checkpoint of its parent.

// The labels of a trial on a ladder.
const (
	roundLabel    = "round"    // of Hyperband: how often all its brackets were begun
	bracketLabel  = "bracket"  // of Hyperband: how many rungs are above the first
	rungLabel     = "rung"     // 0 is the first
	resourceLabel = "resource" // what the trial is to spend
)

var ladderSettings = []Setting{
	{Name: "r_l", Aliases: []string{"max_resource"}, Kind: Real, Range: positive, Doc: "the most of the resource that a configuration is given; it has to be set"},
	{Name: "eta", Aliases: []string{"reduction_factor"}, Kind: Real, Range: atLeast(1.5), Default: "3", Doc: "one of eta configurations goes on, with eta times the resource"},
	{Name: "min_resource", Kind: Real, Range: positive, Doc: "the least of the resource that tells configurations apart, by default 1, or the parameter's min if that is more"},
	{Name: "resource_name", Kind: Text, Doc: "the parameter that is the resource; without it a configuration that goes on continues from its checkpoint"},
	randomState,
}

func ladderFaults(p Problem, set settings) []Fault {
	faults := oneObjective(p, p.Algorithm)
	if !set.has("r_l") {
		return append(faults, Fault{"settings[r_l]", "is not set: say how much of the resource a configuration is given at most"})
	}
	if name := set.word("resource_name"); name != "" {
		faults = append(faults, resourceFaults(p, name, set.float("r_l"))...)
	}
	if len(faults) > 0 {
		return faults
	}
	switch least := leastResource(p.Space, set); {
	case least > set.float("r_l"):
		return []Fault{{"settings[r_l]", "is less than min_resource"}}
	case rungsAbove(least, set.float("r_l"), set.float("eta")) > maxRungs:
		return []Fault{{"settings[min_resource]", fmt.Sprintf("makes more than %d rungs: raise it, or eta", maxRungs)}}
	}
	return nil
}

// maxRungs keeps the first rung of a bracket countable.
const maxRungs = 30

// rungsAbove is how often the resource can be multiplied by eta.
func rungsAbove(least, most, eta float64) int {
	return int(math.Log(most/least)/math.Log(eta) + 1e-9)
}

func resourceFaults(p Problem, name string, most float64) []Fault {
	path := "settings[resource_name]"
	i := slices.IndexFunc(p.Space.Parameters, func(q Parameter) bool { return q.Name == name })
	if i < 0 {
		return []Fault{{path, fmt.Sprintf("there is no parameter %q", name)}}
	}
	q := p.Space.Parameters[i]
	dependant := slices.ContainsFunc(p.Space.Parameters, func(o Parameter) bool { return o.When != nil && o.When.Parameter == name })
	switch {
	case q.Type != Int && q.Type != Double || q.When != nil || dependant:
		return []Fault{{path, fmt.Sprintf("%q has to be an Int or a Double without conditions", name)}}
	case most > q.Max:
		return []Fault{{"settings[r_l]", fmt.Sprintf("%s is more than the max of %q, %s", shortest(most), name, shortest(q.Max))}}
	case len(p.Space.Parameters) == 1:
		return []Fault{{"parameters", "there is none beside the resource: name at least one"}}
	}
	return nil
}

// leastResource is what the first rung has at least.
func leastResource(space Space, set settings) float64 {
	if set.has("min_resource") {
		return set.float("min_resource")
	}
	least := min(1, set.float("r_l"))
	for _, q := range space.Parameters {
		if q.Name == set.word("resource_name") {
			least = max(least, q.Min)
		}
	}
	return least
}

// ladder is a search whose trials are configurations on rungs. Its own search is
// over configurations: the space without the resource.
type ladder struct {
	*search // over whole assignments
	configs *search
	most    float64
	eta     float64
	steps   int // how many rungs there are above the first at most
	dry     bool
	draw    func(index int) (Proposal, bool) // a configuration that is new
}

func newLadder(s *search) *ladder {
	l := &ladder{search: s, most: s.set.float("r_l"), eta: s.set.float("eta")}
	l.steps = rungsAbove(leastResource(s.Space, s.set), l.most, l.eta)
	configs := *s
	configs.cube = newCube(l.withoutResource())
	configs.own, configs.seen = nil, map[string]bool{}
	for _, t := range s.own {
		configs.take(t)
	}
	l.configs = &configs
	l.draw = func(index int) (Proposal, bool) { return configs.drawn("config", index, "drawn at random") }
	return l
}

// withoutResource is the space of configurations; one is allowed if it is on every
// rung.
func (l *ladder) withoutResource() Space {
	name := l.set.word("resource_name")
	if name == "" {
		return l.Space
	}
	whole := l.cube
	out := Space{Allows: func(a Assignment) bool {
		for above := range l.steps + 1 {
			if !whole.meets(l.with(a, l.resource(above))) {
				return false
			}
		}
		return true
	}}
	for _, q := range l.Space.Parameters {
		if q.Name != name {
			out.Parameters = append(out.Parameters, q)
		}
	}
	return out
}

// with is a configuration with so much of the resource.
func (l *ladder) with(config Assignment, resource float64) Assignment {
	i := slices.IndexFunc(l.cube.dims, func(d dim) bool { return d.Name == l.set.word("resource_name") })
	if i < 0 {
		return config
	}
	a := maps.Clone(config)
	d := &l.cube.dims[i]
	a[d.Name] = d.spell(d.scale.unit(min(max(resource, d.Min), d.Max)))
	return a
}

// resource is what a trial spends that has so many rungs above it.
func (l *ladder) resource(above int) float64 {
	return parse(strconv.FormatFloat(l.most*math.Pow(l.eta, -float64(above)), 'g', 10, 64))
}

// start proposes a new configuration for a first rung, with so many rungs above it.
func (l *ladder) start(index, above int, labels map[string]string) (Proposal, bool) {
	q, ok := l.draw(index)
	if !ok {
		l.dry = true
		return q, false
	}
	l.configs.take(Trial{Assignment: q.Assignment})
	return l.placed(q, above, labels), true
}

// goOn proposes more of the resource for the configuration of a trial.
func (l *ladder) goOn(t *Trial, above int, labels map[string]string, why string) Proposal {
	q := Proposal{Assignment: l.configs.cube.canonical(t.Assignment), Why: why}
	if l.set.word("resource_name") == "" {
		q.Parent = t.Name
	}
	return l.placed(q, above, labels)
}

func (l *ladder) placed(q Proposal, above int, labels map[string]string) Proposal {
	q.Assignment = l.with(q.Assignment, l.resource(above))
	q.Labels = labels
	q.Labels[resourceLabel] = shortest(l.resource(above))
	return q
}

// standing is a configuration on a rung.
type standing struct {
	key  string // of the configuration
	fact fact
}

// rungs are the standings by place, in the order of proposal. Place names a
// trial's rung by its labels.
func rungs[K comparable](l *ladder, place func(labels map[string]string) (K, bool)) map[K][]standing {
	out := map[K][]standing{}
	for i := range l.own {
		t := &l.own[i]
		k, ok := place(t.Labels)
		f, known := l.fact(t)
		if ok && known {
			out[k] = append(out[k], standing{l.configs.cube.key(t.Assignment), f})
		}
	}
	return out
}

// enter adds a proposal of this call to its rung.
func enter[K comparable](l *ladder, places map[K][]standing, at K, q Proposal) {
	t := &Trial{Assignment: q.Assignment, Labels: q.Labels, State: Pending}
	if f, ok := l.fact(t); ok {
		places[at] = append(places[at], standing{l.configs.cube.key(q.Assignment), f})
	}
}

// promotable are the best of a rung, at most n, that are not yet on the next.
func promotable(rung, above []standing, n int) []standing {
	var good []standing
	for _, s := range rung {
		if s.fact.loss != nil {
			good = append(good, s)
		}
	}
	slices.SortStableFunc(good, func(a, b standing) int {
		return cmp.Or(cmp.Compare(a.fact.loss[0], b.fact.loss[0]), cmp.Compare(finished(a.fact.trial), finished(b.fact.trial)))
	})
	return slices.DeleteFunc(good[:min(n, len(good))], func(s standing) bool {
		return slices.ContainsFunc(above, func(o standing) bool { return o.key == s.key })
	})
}

func pending(rung []standing) bool {
	return slices.ContainsFunc(rung, func(s standing) bool { return s.fact.state == Pending })
}

// label is a whole number of a trial's labels.
func label(labels map[string]string, name string) (int, bool) {
	n, err := strconv.Atoi(labels[name])
	return n, err == nil
}
