// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Fault is something in a problem that keeps a search from being right.
type Fault struct {
	// Path is where: "algorithm", "settings[gamma]", "parameters[lr].min",
	// "constraints[0]" (of Space.Linear), "constraints" or "objectives[0]".
	Path    string
	Message string // what is wrong and what to do
}

func (f Fault) String() string {
	if strings.HasPrefix(f.Path, "settings[") {
		return "algorithm." + f.Path + ": " + f.Message
	}
	return f.Path + ": " + f.Message
}

func texts(faults []Fault) []string {
	out := make([]string, len(faults))
	for i, f := range faults {
		out[i] = f.String()
	}
	return out
}

func at(parameter, field string) string { return "parameters[" + parameter + "]." + field }

// Validate is everything that is wrong with a problem. It draws points to see
// whether the constraints leave any, which takes up to 10,000 calls of Allows.
func Validate(p Problem) []Fault {
	faults := check(p)
	if len(faults) > 0 {
		return faults
	}
	return feasible(newCube(p.Space), p.Seed)
}

// check is Validate without a search for a point that meets the constraints.
func check(p Problem) []Fault {
	var faults []Fault
	for _, rule := range []func(Problem) []Fault{objectiveFaults, parameterFaults, linearFaults} {
		faults = append(faults, rule(p)...)
	}
	if len(faults) == 0 {
		faults = conditionFaults(p)
	}
	a, ok := Find(p.Algorithm)
	if !ok {
		known := names(algorithms, func(a Algorithm) string { return a.Name })
		return append(faults, Fault{"algorithm", fmt.Sprintf("there is no algorithm %q: use one of %s", p.Algorithm, known)})
	}
	faults = append(faults, settingFaults(a.Name, a.Settings, p.Settings)...)
	if len(faults) == 0 && a.faults != nil {
		faults = a.faults(p, newSettings(a.Settings, p.Settings))
	}
	return faults
}

func objectiveFaults(p Problem) []Fault {
	if len(p.Objectives) == 0 {
		return []Fault{{"objectives", "there is none: name a metric and a direction"}}
	}
	var faults []Fault
	for i, o := range p.Objectives {
		if o.Direction != Minimize && o.Direction != Maximize {
			faults = append(faults, Fault{fmt.Sprintf("objectives[%d].direction", i), fmt.Sprintf("%q is not Minimize or Maximize", o.Direction)})
		}
	}
	return faults
}

// settingFaults finds settings that the owner of the rows does not have, and values that they do not take.
func settingFaults(owner string, rows []Setting, given map[string]string) []Fault {
	var faults []Fault
	for _, name := range slices.Sorted(maps.Keys(given)) {
		path := "settings[" + name + "]"
		i := slices.IndexFunc(rows, func(s Setting) bool { return s.called(name) })
		if i < 0 {
			faults = append(faults, Fault{path, unknownSetting(owner, rows)})
			continue
		}
		if wrong := rows[i].fault(given[name]); wrong != "" {
			faults = append(faults, Fault{path, wrong})
		}
		for _, other := range rows[i].Aliases {
			if _, both := given[other]; both && other != name {
				faults = append(faults, Fault{path, "is the same setting as " + other + ": keep one"})
			}
		}
	}
	return faults
}

func unknownSetting(owner string, rows []Setting) string {
	if len(rows) == 0 {
		return "unknown: " + owner + " has no settings"
	}
	return "unknown: " + owner + " has " + names(rows, func(s Setting) string { return s.Name })
}

// conditionFaults finds conditions that name no parameter, no value of it, or themselves.
func conditionFaults(p Problem) []Fault {
	var faults []Fault
	for _, q := range p.Space.Parameters {
		if q.When == nil {
			continue
		}
		i := slices.IndexFunc(p.Space.Parameters, func(o Parameter) bool { return o.Name == q.When.Parameter })
		if i < 0 {
			faults = append(faults, Fault{at(q.Name, "when"), fmt.Sprintf("there is no parameter %q", q.When.Parameter)})
			continue
		}
		faults = append(faults, parentFaults(q, p.Space.Parameters[i])...)
	}
	if placed := parentsFirst(p.Space.Parameters); len(faults) == 0 && len(placed) < len(p.Space.Parameters) {
		for i, q := range p.Space.Parameters {
			if !slices.Contains(placed, i) {
				faults = append(faults, Fault{at(q.Name, "when"), "depends on itself, by way of the other conditions"})
			}
		}
	}
	return faults
}

// branches is how many values a parameter may have that others depend on.
const branches = 1000

func parentFaults(q, parent Parameter) []Fault {
	d := newDim(parent)
	if d.levels == 0 || d.levels > branches {
		message := fmt.Sprintf("%q has no list of values: conditions need a parent with a step or with at most %d values", parent.Name, branches)
		return []Fault{{at(q.Name, "when"), message}}
	}
	var faults []Fault
	if len(q.When.Values) == 0 {
		faults = append(faults, Fault{at(q.Name, "when"), "names no value: the parameter would never exist"})
	}
	for _, v := range q.When.Values {
		if !d.takes(v) {
			faults = append(faults, Fault{at(q.Name, "when"), fmt.Sprintf("%q has no value %q", parent.Name, v)})
		}
	}
	return faults
}

// takes says whether a value is one of a finite dimension.
func (d *dim) takes(value string) bool {
	u, ok := d.unit(value)
	return ok && d.spell(u) == d.respell(value)
}

func linearFaults(p Problem) []Fault {
	var faults []Fault
	for i, l := range p.Space.Linear {
		path := fmt.Sprintf("constraints[%d]", i)
		if len(l.Coefficients) == 0 || math.IsNaN(l.Bound) || math.IsInf(l.Bound, 0) {
			faults = append(faults, Fault{path, "needs a coefficient and a finite bound"})
		}
		for _, name := range slices.Sorted(maps.Keys(l.Coefficients)) {
			numeric := slices.ContainsFunc(p.Space.Parameters, func(q Parameter) bool {
				return q.Name == name && q.Type != Categorical && q.Type != Ordinal
			})
			if c := l.Coefficients[name]; !numeric || math.IsNaN(c) || math.IsInf(c, 0) {
				faults = append(faults, Fault{path, fmt.Sprintf("%q is not a numeric parameter with a finite coefficient", name)})
			}
		}
	}
	return faults
}

// probes is how many points are drawn in search of one that meets the constraints.
const probes = 10000

func feasible(c *cube, seed uint64) []Fault {
	if !c.constrained() {
		return nil
	}
	r := stream(seed, "probe", 0)
	for range probes {
		if c.meets(c.assignment(c.uniform(r))) {
			return nil
		}
	}
	if size, finite := c.size(0); finite && size <= listable {
		if len(c.left(0, nil)) > 0 {
			return nil
		}
		return []Fault{{"constraints", fmt.Sprintf("none of the %d points of the space meets them: loosen one", size)}}
	}
	return []Fault{{"constraints", fmt.Sprintf("none of %d points drawn from the space meets them: loosen one, or narrow the ranges to where they hold", probes)}}
}

// join lists words for a message.
func join[T ~string](words []T) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = string(w)
	}
	return strings.Join(out, ", ")
}
