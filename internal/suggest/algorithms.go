// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"slices"
	"strings"
)

// Algorithm is a way to search, as users know it.
type Algorithm struct {
	Name     string   // as in our API
	Aliases  []string // as in Katib
	Doc      string   // one sentence
	Settings []Setting
	// Staged says that trials spend a resource or continue from checkpoints, as
	// their labels and parents tell: the assignment alone is not the trial.
	Staged bool
	// faults are what the algorithm cannot work with; nil is nothing. It is
	// called with a problem whose space and settings are right by themselves.
	faults func(Problem, settings) []Fault
	// next makes up to n proposals.
	next func(s *search, n int) Answer
}

// algorithms is every algorithm there is.
var algorithms = []Algorithm{
	{
		Name: "Random", Aliases: []string{"random"},
		Doc:      "draws each parameter by itself",
		Settings: []Setting{randomState},
		next:     random,
	},
	{
		Name: "Grid", Aliases: []string{"grid"},
		Doc:      "tries every combination once and ends",
		Settings: gridSettings,
		faults:   gridFaults,
		next:     grid,
	},
	{
		Name: "Sobol", Aliases: []string{"sobol"},
		Doc:      "spreads the trials evenly by a scrambled quasi-random sequence",
		Settings: sobolSettings,
		faults:   sobolFaults,
		next:     sobol,
	},
	{
		Name: "BayesianOptimization", Aliases: []string{"bayesianoptimization"},
		Doc:      "models what a trial would bring by Gaussian processes, and proposes what promises most",
		Settings: bayesSettings,
		next:     bayes,
	},
	{
		Name: "TPE", Aliases: []string{"tpe"},
		Doc:      "models each parameter of the good and of the bad trials by itself, and draws what is likelier among the good",
		Settings: tpeSettings,
		next:     tpe(false),
	},
	{
		Name: "MultivariateTPE", Aliases: []string{"multivariate-tpe"},
		Doc:      "is TPE with joint densities of the parameters that exist together",
		Settings: tpeSettings,
		next:     tpe(true),
	},
	{
		Name: "CMAES", Aliases: []string{"cmaes", "CMA-ES"},
		Doc:      "evolves a normal distribution whose shape it learns (CMA-ES with margin, restarted when it has converged)",
		Settings: cmaSettings,
		faults:   cmaFaults,
		next:     cmaes,
	},
	{
		Name: "Hyperband", Aliases: []string{"hyperband"},
		Doc:      "gives many configurations a little of a resource and more of it to the best, in brackets that differ in how little",
		Settings: ladderSettings,
		faults:   ladderFaults,
		Staged:   true,
		next:     hyperband,
	},
	{
		Name: "ASHA", Aliases: []string{"asha"},
		Doc:      "gives a configuration more of a resource as soon as it is among the best that had as much (asynchronous successive halving)",
		Settings: ladderSettings,
		faults:   ladderFaults,
		Staged:   true,
		next:     asha,
	},
	{
		Name: "BOHB", Aliases: []string{"bohb"},
		Doc:      "is Hyperband whose configurations come from a model as that of MultivariateTPE",
		Settings: bohbSettings,
		faults:   ladderFaults,
		Staged:   true,
		next:     bohb,
	},
	{
		Name: "PBT", Aliases: []string{"pbt"},
		Doc:      "trains a population whose worst members continue from the checkpoints of the best, with changed parameters",
		Settings: pbtSettings,
		faults:   pbtFaults,
		Staged:   true,
		next:     pbt,
	},
}

// Algorithms is every algorithm there is, in the order of the documentation.
func Algorithms() []Algorithm { return slices.Clone(algorithms) }

// Find is the algorithm of that name or alias, whatever its case.
func Find(name string) (Algorithm, bool) {
	at := slices.IndexFunc(algorithms, func(a Algorithm) bool { return a.called(name) })
	if at < 0 {
		return Algorithm{}, false
	}
	return algorithms[at], true
}

func (a Algorithm) called(name string) bool {
	return strings.EqualFold(a.Name, name) || slices.ContainsFunc(a.Aliases, func(s string) bool { return strings.EqualFold(s, name) })
}

// names lists the rows of a table for a message.
func names[T any](rows []T, name func(T) string) string {
	list := make([]string, len(rows))
	for i, row := range rows {
		list[i] = name(row)
	}
	return strings.Join(list, ", ")
}
