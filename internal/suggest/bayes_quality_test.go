// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest_test

import "testing"

func TestBayesianOptimizationMeetsItsBars(t *testing.T) {
	if testing.Short() {
		t.Skip("searches 20 times each")
	}
	for _, bar := range []struct {
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
	} {
		t.Run(bar.function, func(t *testing.T) {
			t.Parallel()
			got := regret(t, "BayesianOptimization", bar.function, bar.trials)
			t.Logf("median regret after %d trials %.3g, the bar is %g", bar.trials, got, bar.want)
			if !(got <= bar.want) {
				t.Error("missed the bar")
			}
		})
	}
	t.Run("Mixed6", func(t *testing.T) {
		t.Parallel()
		got, random := regret(t, "BayesianOptimization", "Mixed6", 60), regret(t, "Random", "Mixed6", 60)
		t.Logf("median regret after 60 trials %.3g, random has %.3g", got, random)
		if !(got <= random/2) {
			t.Error("missed half of random's regret")
		}
	})
}
