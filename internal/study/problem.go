// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package study

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/ext"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/suggest"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

// SearchOf is the search of an experiment.
func SearchOf(e *v1alpha1.Experiment) v1alpha1.Search {
	return v1alpha1.Search{
		Objectives: e.Spec.Objectives, Algorithm: e.Spec.Algorithm, Parameters: e.Spec.Parameters, Constraints: e.Spec.Constraints, Seed: e.Spec.Seed,
	}
}

// ProblemOf is a search as algorithms see it. Where it has no seed that follows from the name, so that the same search is the same again
// in another cluster.
func ProblemOf(s v1alpha1.Search, namespace, name string) (suggest.Problem, []suggest.Fault) {
	p := suggest.Problem{Algorithm: string(s.Algorithm.Name), Settings: settingsOf(s.Algorithm.Settings), Seed: seedOf(s.Seed, namespace, name)}
	for _, o := range s.Objectives {
		objective := suggest.Objective{Metric: o.Metric, Direction: suggest.Direction(o.Direction)}
		if o.Worst != "" {
			objective.Reference = new(trialjob.Real(o.Worst))
		}
		p.Objectives = append(p.Objectives, objective)
	}
	for _, q := range s.Parameters {
		p.Space.Parameters = append(p.Space.Parameters, parameterOf(q))
	}
	var programs []cel.Program
	var faults []suggest.Fault
	for i, c := range s.Constraints {
		if c.Linear != nil {
			p.Space.Linear = append(p.Space.Linear, linearOf(*c.Linear))
			continue
		}
		program, err := compile(c.Expression, s.Parameters)
		if err != nil {
			faults = append(faults, suggest.Fault{Path: fmt.Sprintf("constraints[%d].expression", i), Message: err.Error()})
			continue
		}
		programs = append(programs, program)
	}
	if len(programs) > 0 {
		p.Space.Allows = allows(s.Parameters, programs)
	}
	return p, faults
}

func seedOf(seed *int64, namespace, name string) uint64 {
	if seed != nil {
		return uint64(*seed)
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(namespace + "/" + name))
	return h.Sum64()
}

func settingsOf(list []v1alpha1.SearchSetting) map[string]string {
	settings := map[string]string{}
	for _, s := range list {
		settings[s.Name] = s.Value
	}
	return settings
}

// RuleOf is an early-stopping rule as the library has it.
func RuleOf(e *v1alpha1.Experiment) (suggest.Rule, bool) {
	if e.Spec.EarlyStopping == nil || len(e.Spec.Objectives) == 0 {
		return suggest.Rule{}, false
	}
	o := e.Spec.Objectives[0]
	return suggest.Rule{
		Name: string(e.Spec.EarlyStopping.Name), Settings: settingsOf(e.Spec.EarlyStopping.Settings),
		Objective: suggest.Objective{Metric: o.Metric, Direction: suggest.Direction(o.Direction)},
	}, true
}

func parameterOf(q v1alpha1.Parameter) suggest.Parameter {
	p := suggest.Parameter{Name: q.Name, Type: suggest.Type(q.Type), Distribution: suggest.Distribution(q.Distribution), Values: q.Values}
	for _, f := range []struct {
		text string
		into *float64
	}{{q.Min, &p.Min}, {q.Max, &p.Max}, {q.Step, &p.Step}} {
		if f.text != "" {
			*f.into = trialjob.Real(f.text)
		}
	}
	if q.Mean != "" {
		p.Mean = new(trialjob.Real(q.Mean))
	}
	if q.StdDev != "" {
		p.StdDev = new(trialjob.Real(q.StdDev))
	}
	if q.When != nil {
		p.When = &suggest.When{Parameter: q.When.Parameter, Values: q.When.Values}
	}
	return p
}

func linearOf(c v1alpha1.LinearConstraint) suggest.Linear {
	l := suggest.Linear{Coefficients: map[string]float64{}, Bound: trialjob.Real(c.Max)}
	for _, t := range c.Terms {
		l.Coefficients[t.Parameter] = trialjob.Real(t.Coefficient)
	}
	return l
}

// costLimit bounds the work of one look at an expression: a search looks thousands of times.
const costLimit = 10_000

// environment is made once: a new one for each expression made each look at a search four times as long.
var environment, errEnvironment = cel.NewEnv(
	cel.Variable("params", cel.MapType(cel.StringType, cel.DynType)), ext.Math(), ext.Strings(), cel.CrossTypeNumericComparisons(true),
)

func compile(expression string, parameters []v1alpha1.Parameter) (cel.Program, error) {
	if errEnvironment != nil {
		return nil, fmt.Errorf("preparing CEL: %w", errEnvironment)
	}
	checked, issues := environment.Compile(expression)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	if checked.OutputType() != cel.BoolType && checked.OutputType() != cel.DynType {
		return nil, fmt.Errorf("it is a %s, and must be true or false", checked.OutputType())
	}
	if name, unknown := stranger(checked, parameters); unknown {
		return nil, fmt.Errorf("params.%s is no parameter: correct the name", name)
	}
	return environment.Program(checked, cel.CostLimit(costLimit))
}

// stranger is a name an expression reads of params that no parameter has: it would never be true, and nobody would know why.
func stranger(checked *cel.Ast, parameters []v1alpha1.Parameter) (string, bool) {
	for _, e := range ast.MatchDescendants(ast.NavigateAST(checked.NativeRep()), ast.KindMatcher(ast.SelectKind)) {
		read := e.AsSelect()
		if of := read.Operand(); of.Kind() != ast.IdentKind || of.AsIdent() != "params" {
			continue
		}
		if !slices.ContainsFunc(parameters, func(p v1alpha1.Parameter) bool { return p.Name == read.FieldName() }) {
			return read.FieldName(), true
		}
	}
	return "", false
}

// allows is true of assignments of which every expression is. One over a parameter that is not active is not, unless it asks for it
// with has() or in.
func allows(parameters []v1alpha1.Parameter, programs []cel.Program) func(suggest.Assignment) bool {
	words := map[string]bool{}
	for _, p := range parameters {
		words[p.Name] = p.Type == v1alpha1.ParameterCategorical || p.Type == v1alpha1.ParameterOrdinal
	}
	return func(a suggest.Assignment) bool {
		params := map[string]any{}
		for name, value := range a {
			params[name] = value
			if number, err := strconv.ParseFloat(value, 64); err == nil && !words[name] {
				params[name] = number
			}
		}
		for _, p := range programs {
			if out, _, err := p.Eval(map[string]any{"params": params}); err != nil || out.Value() != true {
				return false
			}
		}
		return true
	}
}
