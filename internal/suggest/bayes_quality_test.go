// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest_test

import "testing"

// bars are the regrets that Bayesian optimisation has to reach, and in how many
// trials.
var bars = []struct {
	function string
	trials   int
	want     float64
}{
	{"Branin", 50, 1e-3},
	{"Hartmann3", 50, 1e-3},
	{"Hartmann6", 100, 0.02},
	{"Rosenbrock5", 100, 15},
	{"Levy5", 100, 0.12},
	{"Ackley5", 100, 4},
}

func TestBayesianOptimizationMeetsItsBars(t *testing.T) {
	if testing.Short() {
		t.Skip("searches 20 times each")
	}
	for _, bar := range bars {
		t.Run(bar.function, func(t *testing.T) {
			t.Parallel()
			got := regret(t, search{"BayesianOptimization", bar.function, bar.trials, 1})
			t.Logf("median regret after %d trials %.3g, the bar is %g", bar.trials, got, bar.want)
			if !(got <= bar.want) {
				t.Error("missed the bar")
			}
		})
	}
	t.Run("Mixed6", func(t *testing.T) {
		t.Parallel()
		got, random := regret(t, search{"BayesianOptimization", "Mixed6", 60, 1}), regret(t, search{"Random", "Mixed6", 60, 1})
		t.Logf("median regret after 60 trials %.3g, random has %.3g", got, random)
		if !(got <= random/2) {
			t.Error("missed half of random's regret")
		}
	})
}

// A batch of eight loses at most 30 % against one trial after the other: what
// that has to reach in so many trials, batches reach in 1.3 times as many, when
// all eight are proposed before one of them has a result.
func TestBayesianBatchesLoseLittle(t *testing.T) {
	if testing.Short() {
		t.Skip("searches 20 times each")
	}
	for _, bar := range bars {
		t.Run(bar.function, func(t *testing.T) {
			t.Parallel()
			trials := bar.trials * 13 / 10
			got := regret(t, search{"BayesianOptimization", bar.function, trials, 8})
			t.Logf("median regret after %d trials by eight %.3g, the bar is %g", trials, got, bar.want)
			if !(got <= bar.want) {
				t.Error("missed the bar")
			}
		})
	}
}
