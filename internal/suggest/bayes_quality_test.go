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
	// steep is a funnel with ripples, where each step needs the result of the one
	// before: batches reach the bar, but are further behind (docs/search-quality.md).
	steep bool
}{
	{"Branin", 50, 1e-3, false},
	{"Hartmann3", 50, 1e-3, false},
	{"Hartmann6", 100, 0.02, false},
	{"Rosenbrock5", 100, 15, false},
	{"Levy5", 100, 0.12, false},
	{"Ackley5", 100, 4, true},
}

// A batch of eight, all proposed before one of them has a result, reaches the bar
// in 1.3 times as many trials, and is no more than 30 % behind what one trial after
// the other reaches in so many. Below a tenth of the bar all regrets are alike: they
// are what is left of digits and of noise in the model.
func TestBayesianOptimizationMeetsItsBarsAndBatchesLoseLittle(t *testing.T) {
	if testing.Short() {
		t.Skip("searches 20 times each")
	}
	for _, bar := range bars {
		t.Run(bar.function, func(t *testing.T) {
			t.Parallel()
			one := regret(t, search{"BayesianOptimization", bar.function, bar.trials, 1})
			batch := regrets(t, search{"BayesianOptimization", bar.function, bar.trials * 13 / 10, 8})
			equal, more := batch[bar.trials-1], batch[len(batch)-1]
			t.Logf("median regret after %d trials %.3g, by eight %.3g, by eight after %d %.3g; the bar is %g", bar.trials, one, equal, len(batch), more, bar.want)
			if !(one <= bar.want) {
				t.Error("one after the other missed the bar")
			}
			if most := max(1.3*one, bar.want/10); !bar.steep && !(more <= most) {
				t.Errorf("by eight want at most %.3g", most)
			}
			if !(more <= bar.want) {
				t.Error("by eight missed the bar")
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
