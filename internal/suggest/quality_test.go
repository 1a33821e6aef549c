// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest_test

import (
	"fmt"
	"testing"

	"github.com/millrace-ml/millrace/internal/suggest/functions"
)

// The quality of a search is the median, over 20 seeds, of how far its best
// trial is from the optimum. The bars are never loosened: a change that misses
// one is a change for the worse.
func TestQuality(t *testing.T) {
	if testing.Short() {
		t.Skip("searches 20 times each")
	}
	for _, bar := range []struct {
		algorithm, function string
		trials              int
		want                float64
	}{
		{"TPE", "Hartmann6", 200, 0.25},
		{"MultivariateTPE", "Branin", 100, 0.05},
		{"MultivariateTPE", "Hartmann6", 100, 0.15},
		{"MultivariateTPE", "Levy5", 100, 0.6},
		{"CMAES", "MixedScale2", 200, 1e-6},
		{"CMAES", "Branin", 200, 1e-4},
		{"CMAES", "Rosenbrock5", 200, 15},
	} {
		t.Run(fmt.Sprintf("%s/%s@%d", bar.algorithm, bar.function, bar.trials), func(t *testing.T) {
			t.Parallel()
			if got := regret(t, search{bar.algorithm, bar.function, bar.trials, 1}); got > bar.want {
				t.Errorf("median regret %.3g, want at most %.3g", got, bar.want)
			} else {
				t.Logf("median regret %.3g", got)
			}
		})
	}
}

const seeds = 20

// search is so many trials of an algorithm, up to parallel of them at once.
type search struct {
	algorithm, function string
	trials, parallel    int
}

func regret(t *testing.T, s search) float64 {
	t.Helper()
	f, ok := functions.Find(s.function)
	if !ok {
		t.Fatalf("no function %s", s.function)
	}
	var last []float64
	for seed := range uint64(seeds) {
		regrets, err := f.Minimize(f.Problem(s.algorithm, seed), s.trials, s.parallel)
		if err != nil || len(regrets) != s.trials {
			t.Fatalf("%d trials: %v", len(regrets), err)
		}
		last = append(last, regrets[s.trials-1])
	}
	return functions.Median(last)
}
