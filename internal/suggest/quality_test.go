// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest_test

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/millrace-ml/millrace/internal/suggest"
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

// regret is the median at the end.
func regret(t *testing.T, s search) float64 {
	t.Helper()
	f, ok := functions.Find(s.function)
	if !ok {
		t.Fatalf("no function %s", s.function)
	}
	var least []float64
	for seed := range uint64(seeds) {
		regrets, err := f.Minimize(f.Problem(s.algorithm, seed), s.trials, s.parallel)
		if err != nil || len(regrets) != s.trials {
			t.Fatalf("%d trials: %v", len(regrets), err)
		}
		least = append(least, regrets[s.trials-1])
	}
	return functions.Median(least)
}

// Two objectives that contradict each other: what TPE finds dominates more than
// what chance does.
func TestSeveralObjectives(t *testing.T) {
	f, _ := functions.Find("Hartmann3")
	volume := func(algorithm string) float64 {
		var all []float64
		for seed := range uint64(10) {
			p := f.Problem(algorithm, seed)
			p.Objectives = []suggest.Objective{
				{Metric: "a", Direction: suggest.Minimize, Reference: new(0.0)}, {Metric: "b", Direction: suggest.Maximize, Reference: new(0.0)},
			}
			var trials []suggest.Trial
			for i := range 80 {
				answer, err := suggest.Next(p, trials, 1, nil)
				if err != nil {
					t.Fatal(err)
				}
				a := answer.Proposals[0].Assignment
				mirrored := suggest.Assignment{"x1": a["x2"], "x2": a["x3"], "x3": a["x1"]}
				trial := suggest.Trial{Name: strconv.Itoa(i), Assignment: a, State: suggest.Succeeded, Finished: i + 1}
				trial.Values = []float64{f.Value(a), -f.Value(mirrored)}
				trials = append(trials, trial)
			}
			all = append(all, suggest.Hypervolume(p, trials))
		}
		return functions.Median(all)
	}
	chance := volume("Random")
	for _, algorithm := range []string{"TPE", "MultivariateTPE"} {
		if got := volume(algorithm); got < 1.2*chance {
			t.Errorf("%s: hypervolume %g, by chance %g", algorithm, got, chance)
		} else {
			t.Logf("%s: hypervolume %g, by chance %g", algorithm, got, chance)
		}
	}
}
