// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
)

// These are faults that the searches of other systems have or had: each test is
// named after what went wrong there.

func sequential(t *testing.T, p Problem, n int, value func(Assignment) float64) []Trial {
	t.Helper()
	var trials []Trial
	for i := range n {
		answer, err := Next(p, trials, 1, nil)
		if err != nil || len(answer.Proposals) == 0 {
			t.Fatalf("%s: %d proposals, %v", p.Algorithm, i, err)
		}
		q := answer.Proposals[0]
		trial := Trial{Name: strconv.Itoa(i), Assignment: q.Assignment, Labels: q.Labels, State: Succeeded, Finished: i + 1, Values: []float64{value(q.Assignment)}}
		trials = append(trials, trial)
	}
	return trials
}

func TestUpstreamMedianStopIsNoMean(t *testing.T) {
	others := []Trial{curved("a", Succeeded, 1, 1, 1, 1), curved("b", Succeeded, 2, 2, 2, 2), curved("c", Succeeded, 1000, 1000, 1000, 1000)}
	if v := NewJudge(Rule{Name: "medianstop", Objective: Objective{Direction: Minimize}}, others).Stop(curved("x", Pending, 300, 300, 300, 300)); !v.Stop {
		t.Error("300 is better than the mean of 1, 2 and 1000, and worse than their median")
	}
}

func TestUpstreamMedianStopIsAskedAtEveryReport(t *testing.T) {
	others := []Trial{curved("a", Succeeded, 5, 5, 5, 5, 5, 5, 1), curved("b", Succeeded, 5, 5, 5, 5, 5, 5, 1), curved("c", Succeeded, 5, 5, 5, 5, 5, 5, 1)}
	rule := Rule{Name: "medianstop", Objective: Objective{Direction: Minimize}}
	own := curved("x", Pending, 4, 4, 4, 4, 4, 4)
	if NewJudge(rule, others).Stop(own).Stop {
		t.Error("stopped while it was better")
	}
	if own = curved("x", Pending, 4, 4, 4, 4, 4, 4, 4); !NewJudge(rule, others).Stop(own).Stop {
		t.Error("not stopped at a report after the first that is judged")
	}
}

func TestUpstreamHyperbandPassesRungZeroAtAnyParallelism(t *testing.T) {
	for _, parallel := range []int{1, 2, 5, 40} {
		settings := map[string]string{"r_l": "27", "eta": "3", "resource_name": "epochs"}
		g := &training{curve: byX, parallel: parallel, Problem: ladderProblem("hyperband", settings, double("x", 0, 1), whole("epochs", 1, 27))}
		g.MaxTrials = 200
		g.run(t, math.Inf(1))
		if !strings.Contains(g.table(), "bracket 3 rung 3 resource 27: 1") {
			t.Errorf("%d at once: the last rung of the first bracket is not reached:\n%s", parallel, g.table())
		}
	}
}

func TestUpstreamOnlyLogUniformParametersAreDrawnByTheirLogarithm(t *testing.T) {
	for _, a := range algorithms {
		p := problem(a.Name, double("x", 0, 1000), double("y", -10, 10))
		if len(Validate(p)) > 0 {
			continue
		}
		small := 0
		for _, trial := range sequential(t, p, 10, byX0) {
			small += btoi(parse(trial.Assignment["x"]) < 100)
		}
		if small > 6 {
			t.Errorf("%s: %d of 10 are in the lowest tenth of the range", a.Name, small)
		}
	}
}

func byX0(a Assignment) float64 { return -parse(a["x"]) }

func TestUpstreamRangesWithZeroAndNegativeNumbersWork(t *testing.T) {
	for _, a := range algorithms {
		p := problem(a.Name, double("x", 0, 1), double("y", -3, -1), whole("z", -2, 0))
		if len(Validate(p)) > 0 {
			continue
		}
		for _, trial := range sequential(t, p, 25, byX0) {
			if _, ok := newCube(p.Space).vector(trial.Assignment); !ok {
				t.Errorf("%s: %v", a.Name, trial.Assignment)
			}
		}
	}
}

func TestUpstreamStepsOfWholeNumbersAreKept(t *testing.T) {
	for _, a := range algorithms {
		p := problem(a.Name, Parameter{Name: "x", Type: Int, Min: 0, Max: 512, Step: 64}, double("y", 0, 1))
		p.Settings = map[string]string{}
		if a.Name == "Grid" {
			p.Settings["points"] = "3"
		}
		if len(Validate(p)) > 0 {
			continue
		}
		for _, trial := range sequential(t, p, 20, byX0) {
			if n, err := strconv.Atoi(trial.Assignment["x"]); err != nil || n%64 != 0 {
				t.Errorf("%s: %s", a.Name, trial.Assignment["x"])
			}
		}
	}
}

func TestUpstreamTheProposalsOfABatchDiffer(t *testing.T) {
	for _, a := range algorithms {
		p := problem(a.Name, Parameter{Name: "x", Type: Double, Max: 10, Step: 0.001}, Parameter{Name: "y", Type: Double, Max: 10, Step: 0.001})
		if len(Validate(p)) > 0 {
			continue
		}
		trials := sequential(t, p, 20, byX0)
		answer, err := Next(p, trials, 10, nil)
		points := map[string]bool{}
		for _, q := range answer.Proposals {
			points[fmt.Sprint(q.Assignment)] = true
		}
		if err != nil || a.Name != "PBT" && len(points) != 10 {
			t.Errorf("%s: %d points of 10, %v", a.Name, len(points), err)
		}
	}
}

func TestUpstreamCMAESMovesInEachScale(t *testing.T) {
	p := problem("cmaes", double("lr", 0, 0.1), double("batch", 0, 512))
	sphere := func(a Assignment) float64 { return square(parse(a["lr"])/0.1-0.3) + square(parse(a["batch"])/512-0.7) }
	best, _ := Best(p, sequential(t, p, 150, sphere))
	if best.Values[0] > 1e-4 {
		t.Errorf("regret %g", best.Values[0])
	}
}

func TestUpstreamBothEndsOfWholeNumbersAreReached(t *testing.T) {
	for _, name := range []string{"random", "sobol", "tpe", "multivariate-tpe"} {
		p := problem(name, whole("x", 1, 4), double("y", 0, 1))
		counts := map[string]int{}
		for _, trial := range sequential(t, p, 80, func(Assignment) float64 { return 0 }) {
			counts[trial.Assignment["x"]]++
		}
		if counts["1"] < 8 || counts["4"] < 8 {
			t.Errorf("%s: %v", name, counts)
		}
	}
}

func TestUpstreamBellsStayInTheirRange(t *testing.T) {
	p := problem("random", Parameter{Name: "x", Type: Double, Min: 1, Max: 3, Distribution: Normal, Mean: new(2.9), StdDev: new(5.0)})
	for _, trial := range sequential(t, p, 200, byX0) {
		if x := parse(trial.Assignment["x"]); x < 1 || x > 3 {
			t.Errorf("%g", x)
		}
	}
}

func TestUpstreamHyperbandTakesDecimalsOfAList(t *testing.T) {
	settings := map[string]string{"r_l": "9", "resource_name": "epochs"}
	list := Parameter{Name: "x", Type: Discrete, Values: []string{"0.5", "1.25", "8"}}
	p := ladderProblem("hyperband", settings, list, Parameter{Name: "lr", Type: Double, Min: 1e-4, Max: 1, Step: 1e-4, Distribution: LogUniform}, whole("epochs", 1, 9))
	for _, trial := range sequential(t, p, 30, byX0) {
		if _, ok := newCube(p.Space).vector(trial.Assignment); !ok {
			t.Errorf("%v", trial.Assignment)
		}
	}
}

func TestUpstreamPBTContinuesFromTheWinnersCheckpoint(t *testing.T) {
	trials, parents, reached := evolve(t, pbtProblem("5", "resample_probability", "0.5"), 5)
	slots, last, copies := map[string]string{}, map[string]string{}, 0
	for _, trial := range trials {
		slot, parent := trial.Labels[slotLabel], parents[trial.Name]
		if parent != "" && slots[parent] != slot {
			copies++
			if reached[parent] <= reached[last[slot]] {
				t.Errorf("%s continues from %s, which came to %g, and its own line to %g", trial.Name, parent, reached[parent], reached[last[slot]])
			}
		}
		slots[trial.Name], last[slot] = slot, trial.Name
	}
	if copies == 0 {
		t.Error("nobody was copied")
	}
}

func TestUpstreamPBTGoesOnAfterAFailure(t *testing.T) {
	p := pbtProblem("5")
	var trials []Trial
	for i := range 50 {
		answer, err := Next(p, trials, 1, nil)
		if err != nil || len(answer.Proposals) != 1 {
			t.Fatalf("after %d trials: %d proposals, %v", i, len(answer.Proposals), err)
		}
		q := answer.Proposals[0]
		trial := Trial{Name: strconv.Itoa(i), Assignment: q.Assignment, Labels: q.Labels, State: Succeeded, Finished: i + 1, Values: []float64{float64(i)}}
		if i%3 == 0 {
			trial.State, trial.Values = Failed, nil
		}
		trials = append(trials, trial)
	}
}

func TestUpstreamNaNNeverWins(t *testing.T) {
	for _, direction := range []Direction{Minimize, Maximize} {
		for _, a := range algorithms {
			p := problem(a.Name, whole("x", 0, 30), double("y", 0, 1))
			p.Objectives[0].Direction = direction
			if len(Validate(p)) > 0 {
				continue
			}
			trials := sequential(t, p, 40, func(a Assignment) float64 {
				if x := parse(a["x"]); x < 25 {
					return x
				}
				return math.NaN()
			})
			if best, ok := Best(p, trials); !ok || math.IsNaN(best.Values[0]) {
				t.Errorf("%s, %s: %v", a.Name, direction, best.Values)
			}
		}
	}
}

func TestUpstreamAGridEndsAndRepeatsNothing(t *testing.T) {
	p := problem("grid", whole("x", 1, 3), choice("y", "a", "b"))
	p.MaxTrials = 100
	trials := run(t, p, 100, 4)
	answer, err := Next(p, trials, 4, nil)
	if err != nil || len(trials) != 6 || answer.Exhausted != "all 6 points of the grid are tried" {
		t.Errorf("%d trials, %q, %v", len(trials), answer.Exhausted, err)
	}
}

func TestUpstreamSettingsAreTheUnionOfItsLibraries(t *testing.T) {
	for algorithm, settings := range map[string]map[string]string{
		"random":           {"random_state": "7"},
		"grid":             {"random_state": "7"},
		"tpe":              {"gamma": "0.25", "prior_weight": "1.0", "n_EI_candidates": "24", "random_state": "7"},
		"multivariate-tpe": {"n_startup_trials": "5", "n_ei_candidates": "24", "random_state": "7"},
		"cmaes":            {"random_state": "7", "sigma": "0.1", "restart_strategy": "bipop"},
		"hyperband":        {"resource_name": "epochs", "eta": "3", "r_l": "9"},
		"sobol":            {},
		"pbt":              {"suggestion_trial_dir": "/opt/katib/data/", "n_population": "40", "truncation_threshold": "0.2", "resample_probability": "0.3"},
	} {
		p := problem(algorithm, whole("x", 1, 100), whole("epochs", 1, 9))
		p.Settings = settings
		if faults := Validate(p); len(faults) > 0 {
			t.Errorf("%s: %v", algorithm, faults)
		}
	}
}
