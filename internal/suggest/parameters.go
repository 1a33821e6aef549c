// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"fmt"
	"math"
	"slices"
)

// parameterRule says what is wrong with a parameter: the field and the words.
// An empty field is nothing.
type parameterRule func(Parameter) (field, message string)

// parameterRules are tried in their order, and the first that finds something
// ends: what follows a wrong bound would be noise.
var parameterRules = []parameterRule{
	knownType, numbersInRange, minBelowMax, wholeNumbers, exactNumbers, stepFits, knownDistribution, logAboveZero, bellHasWidth, valuesGiven,
	noStrayFields,
}

func parameterFaults(p Problem) []Fault {
	if len(p.Space.Parameters) == 0 {
		return []Fault{{"parameters", "there is none: name at least one"}}
	}
	var faults []Fault
	for i, q := range p.Space.Parameters {
		if q.Name == "" || slices.ContainsFunc(p.Space.Parameters[:i], func(o Parameter) bool { return o.Name == q.Name }) {
			faults = append(faults, Fault{at(q.Name, "name"), "is empty or used twice"})
		}
		for _, rule := range parameterRules {
			if field, message := rule(q); field != "" {
				faults = append(faults, Fault{at(q.Name, field), message})
				break
			}
		}
	}
	return faults
}

var (
	types         = []Type{Double, Int, Discrete, Categorical, Ordinal}
	distributions = []Distribution{Uniform, LogUniform, Normal, LogNormal}
)

func knownType(p Parameter) (string, string) {
	if slices.Contains(types, p.Type) {
		return "", ""
	}
	return "type", fmt.Sprintf("%q is not one of %s", p.Type, join(types))
}

func numbersInRange(p Parameter) (string, string) {
	for _, n := range []struct {
		field string
		value float64
	}{{"min", p.Min}, {"max", p.Max}, {"step", p.Step}} {
		if math.IsNaN(n.value) || math.Abs(n.value) > 1e300 {
			return n.field, "is not a finite number of at most 1e300"
		}
	}
	return "", ""
}

func minBelowMax(p Parameter) (string, string) {
	if listed(p.Type) || p.Min <= p.Max {
		return "", ""
	}
	return "max", fmt.Sprintf("%s is less than min, %s", shortest(p.Max), shortest(p.Min))
}

func wholeNumbers(p Parameter) (string, string) {
	if p.Type != Int {
		return "", ""
	}
	for _, v := range []float64{p.Min, p.Max, p.Step} {
		if v != math.Trunc(v) {
			return "type", fmt.Sprintf("min, max and step of an Int are whole numbers: %s is not", shortest(v))
		}
	}
	return "", ""
}

// exactNumbers keeps whole numbers where floats tell them apart, with room for
// half a step, and the count of values in an int.
func exactNumbers(p Parameter) (string, string) {
	if p.Type == Int && max(math.Abs(p.Min), math.Abs(p.Max)) > 1<<52 {
		return "max", "whole numbers are exact to 2^52 only: narrow the range"
	}
	if p.Step > 0 && (p.Max-p.Min)/p.Step > 1<<52 {
		return "step", "makes more than 2^52 values: use a larger one, or none"
	}
	return "", ""
}

func stepFits(p Parameter) (string, string) {
	switch {
	case p.Step < 0:
		return "step", "is less than 0"
	case p.Step > 0 && p.Max > p.Min && p.Step > p.Max-p.Min:
		return "step", fmt.Sprintf("%s is more than the range from %s to %s", shortest(p.Step), shortest(p.Min), shortest(p.Max))
	}
	return "", ""
}

func knownDistribution(p Parameter) (string, string) {
	if p.Distribution == "" || slices.Contains(distributions, p.Distribution) {
		return "", ""
	}
	return "distribution", fmt.Sprintf("%q is not one of %s", p.Distribution, join(distributions))
}

func logAboveZero(p Parameter) (string, string) {
	logarithmic := p.Distribution == LogUniform || p.Distribution == LogNormal
	if !logarithmic || listed(p.Type) || p.Min > 0 {
		return "", ""
	}
	return "min", fmt.Sprintf("%s has no logarithm: a %s parameter needs a min above 0", shortest(p.Min), p.Distribution)
}

func bellHasWidth(p Parameter) (string, string) {
	bell := p.Distribution == Normal || p.Distribution == LogNormal
	switch {
	case !bell && (p.Mean != nil || p.StdDev != nil):
		return "distribution", "mean and stdDev belong to Normal and LogNormal"
	case p.StdDev != nil && !(*p.StdDev > 0 && *p.StdDev < math.Inf(1)):
		return "stdDev", "is not above 0"
	case p.Mean != nil && (math.IsNaN(*p.Mean) || math.IsInf(*p.Mean, 0)):
		return "mean", "is not a finite number"
	}
	return "", ""
}

func valuesGiven(p Parameter) (string, string) {
	if !listed(p.Type) {
		return "", ""
	}
	if len(p.Values) == 0 {
		return "values", fmt.Sprintf("a %s parameter needs at least one", p.Type)
	}
	seen := map[string]bool{}
	for _, v := range p.Values {
		if v == "" {
			return "values", "has an empty word"
		}
		n := parse(v)
		if p.Type == Discrete && (math.IsNaN(n) || math.IsInf(n, 0)) {
			return "values", fmt.Sprintf("%q is not a number: use Categorical or Ordinal for words", v)
		}
		if p.Type == Discrete {
			v = shortest(n)
		}
		if seen[v] {
			return "values", fmt.Sprintf("%q is there twice", v)
		}
		seen[v] = true
	}
	return "", ""
}

func noStrayFields(p Parameter) (string, string) {
	switch {
	case listed(p.Type) && (p.Min != 0 || p.Max != 0 || p.Step != 0 || p.Distribution != "" && p.Distribution != Uniform):
		return "values", fmt.Sprintf("a %s parameter has values, and no min, max, step or distribution", p.Type)
	case !listed(p.Type) && len(p.Values) > 0:
		return "values", fmt.Sprintf("a %s parameter has min and max, and no values", p.Type)
	}
	return "", ""
}
