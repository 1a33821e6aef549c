// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package functions is a set of functions whose minimum is known, to measure
// search algorithms with: the quality tests and "mill bench-suggest" use it. All
// are to be minimised; what they cost a trial is nothing.
package functions

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace-ml/millrace/internal/suggest"
)

// Function is a problem with a known answer.
type Function struct {
	Name    string
	Space   suggest.Space
	Optimum float64 // the least value
	value   func(point) float64
}

// Regret is how far an assignment is from the optimum, 0 or more.
func (f Function) Regret(a suggest.Assignment) float64 { return f.value(f.point(a)) - f.Optimum }

// Value is the function at an assignment of its space.
func (f Function) Value(a suggest.Assignment) float64 { return f.value(f.point(a)) }

// Problem asks an algorithm for the minimum of the function.
func (f Function) Problem(algorithm string, seed uint64) suggest.Problem {
	return suggest.Problem{
		Space:      f.Space,
		Objectives: []suggest.Objective{{Metric: "value", Direction: suggest.Minimize}},
		Algorithm:  algorithm,
		Seed:       seed,
	}
}

// Minimize runs a search of so many trials, up to parallel of them at once, and
// is the least regret after each trial. An error is one of the problem.
func (f Function) Minimize(p suggest.Problem, trials, parallel int) ([]float64, error) {
	var done []suggest.Trial
	least, regrets := math.Inf(1), []float64(nil)
	for len(done) < trials {
		answer, err := suggest.Next(p, done, min(parallel, trials-len(done)), nil)
		if err != nil {
			return nil, fmt.Errorf("searching %s: %w", f.Name, err)
		}
		for _, q := range answer.Proposals {
			t := suggest.Trial{Name: strconv.Itoa(len(done)), Assignment: q.Assignment, Labels: q.Labels, State: suggest.Succeeded}
			t.Values, t.Finished = []float64{f.Value(q.Assignment)}, len(done)+1
			least = min(least, t.Values[0]-f.Optimum)
			done, regrets = append(done, t), append(regrets, least)
		}
		if len(answer.Proposals) == 0 {
			break
		}
	}
	return regrets, nil
}

// Median is the middle of some numbers; NaN of none.
func Median(values []float64) float64 { return Quantile(values, 0.5) }

// Quantile is the number below which the share q, 0 to 1, of some numbers lies,
// between two of them by their distance; NaN of none.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(values))
	at := q * float64(len(s)-1)
	below := int(at)
	return s[below] + (at-float64(below))*(s[min(below+1, len(s)-1)]-s[below])
}

// Find is the function of that name, whatever its case.
func Find(name string) (Function, bool) {
	i := slices.IndexFunc(all, func(f Function) bool { return strings.EqualFold(f.Name, name) })
	if i < 0 {
		return Function{}, false
	}
	return all[i], true
}

// All is every function, in the order of the documentation.
func All() []Function { return slices.Clone(all) }

// point is an assignment as numbers, in the order of the parameters, and words.
type point struct {
	x     []float64
	words suggest.Assignment
}

func (f Function) point(a suggest.Assignment) point {
	p := point{words: a}
	for _, q := range f.Space.Parameters {
		v, err := strconv.ParseFloat(a[q.Name], 64)
		if err != nil {
			v = math.NaN()
		}
		p.x = append(p.x, v)
	}
	return p
}
