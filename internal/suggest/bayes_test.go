// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func bayesian2(objectives ...Objective) Problem {
	p := problem("BayesianOptimization", double("x", 0, 1), double("y", 0, 1))
	if len(objectives) > 0 {
		p.Objectives = objectives
	}
	return p
}

// played is a search of so many trials, one after the other, each of which ends as
// the function says: nil is a failure.
func played(t *testing.T, p Problem, trials int, f func(x, y float64) []float64) []Trial {
	t.Helper()
	var all []Trial
	for len(all) < trials {
		answer, err := Next(p, all, 1, nil)
		if err != nil || len(answer.Proposals) == 0 {
			t.Fatalf("%d proposals, %v", len(answer.Proposals), err)
		}
		for _, q := range answer.Proposals {
			one := Trial{Name: strconv.Itoa(len(all)), Assignment: q.Assignment, Labels: q.Labels, State: Failed, Finished: len(all) + 1}
			if one.Values = f(parse(q.Assignment["x"]), parse(q.Assignment["y"])); one.Values != nil {
				one.State = Succeeded
			}
			all = append(all, one)
		}
	}
	return all
}

func bowl(x, y float64) []float64 { return []float64{math.Hypot(x-0.3, y-0.6)} }

func TestBayesianOptimizationGoesOnFromAnyHistory(t *testing.T) {
	many := func(n int, value func(i int) float64) []Trial {
		trials := make([]Trial, n)
		for i := range trials {
			a := Assignment{"x": fmt.Sprint(math.Mod(float64(i)*0.618, 1)), "y": fmt.Sprint(math.Mod(float64(i)*0.377, 1))}
			trials[i] = Trial{Name: strconv.Itoa(i), Assignment: a, State: Succeeded, Values: []float64{value(i)}, Finished: i + 1}
		}
		return trials
	}
	same := many(1, func(int) float64 { return 1 })[0]
	repeated := make([]Trial, 15)
	for i := range repeated {
		repeated[i] = same
		repeated[i].Values, repeated[i].Finished = []float64{float64(i % 2)}, i+1
	}
	for name, history := range map[string][]Trial{
		"nothing":             nil,
		"one trial":           many(1, func(int) float64 { return 1 }),
		"two trials":          many(2, func(i int) float64 { return float64(i) }),
		"equal values":        many(20, func(int) float64 { return 7 }),
		"all failed":          many(20, func(int) float64 { return math.NaN() }),
		"one succeeded":       many(20, func(i int) float64 { return math.Log(float64(i - 18)) }),
		"some are infinite":   many(20, func(i int) float64 { return 1 / float64(i%4) }),
		"enormous values":     many(20, func(i int) float64 { return math.Pow(-1, float64(i)) * 1e308 }),
		"tiny values":         many(20, func(i int) float64 { return float64(i) * 5e-324 }),
		"an outlier":          many(20, func(i int) float64 { return math.Pow(1e15, float64(i/19)) }),
		"one point, repeated": repeated,
		"1,000 trials":        many(1000, func(i int) float64 { return math.Sin(float64(i)) }),
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := Next(bayesian2(), history, 5, nil)
			if err != nil || len(answer.Proposals) != 5 {
				t.Fatalf("%d proposals, %v", len(answer.Proposals), err)
			}
			c, seen := newCube(bayesian2().Space), map[string]bool{}
			for _, q := range answer.Proposals {
				if _, ok := c.vector(q.Assignment); !ok || seen[c.key(q.Assignment)] {
					t.Errorf("%v is outside, or there twice", q.Assignment)
				}
				seen[c.key(q.Assignment)] = true
			}
		})
	}
}

func TestBayesianOptimizationOfUnusualSpaces(t *testing.T) {
	var wide []Parameter
	for i := range 50 {
		wide = append(wide, double("x"+strconv.Itoa(i), -1, 1))
	}
	never := double("momentum", 0, 1)
	never.When = &When{Parameter: "optimizer", Values: []string{"sgd"}}
	for name, parameters := range map[string][]Parameter{
		"one dimension":        {double("x", 0, 1)},
		"a constant":           {double("x", 3, 3), double("y", 0, 1)},
		"constants alone":      {double("x", 3, 3), choice("y", "a")},
		"50 dimensions":        wide,
		"a condition":          {choice("optimizer", "adam", "sgd"), never, double("lr", 0, 1)},
		"many whole numbers":   {whole("n", 1, 1_000_000), whole("m", 1, 5)},
		"words without number": {choice("a", "1", "2", "3"), choice("b", "1", "2", "3", "4")},
	} {
		t.Run(name, func(t *testing.T) {
			p := problem("BayesianOptimization", parameters...)
			trials := run(t, p, 25, 2)
			if size, finite := newCube(p.Space).size(0); len(trials) != 25 && (!finite || uint64(len(trials)) != size) {
				t.Errorf("%d trials", len(trials))
			}
		})
	}
}

// What is pending is known, however it became so: a batch is what the same
// number of calls for one proposal would give, and its points differ.
func TestABayesianBatchIsItsProposalsOneByOne(t *testing.T) {
	trials := played(t, bayesian2(), 12, bowl)
	batch, err := Next(bayesian2(), trials, 8, nil)
	if err != nil {
		t.Fatal(err)
	}
	pending := slices.Clone(trials)
	for i, q := range batch.Proposals {
		one, _ := Next(bayesian2(), pending, 1, nil)
		if diff := cmp.Diff(one.Proposals[0], q); diff != "" {
			t.Fatalf("proposal %d: %s", i, diff)
		}
		for _, o := range batch.Proposals[:i] {
			if math.Hypot(parse(o.Assignment["x"])-parse(q.Assignment["x"]), parse(o.Assignment["y"])-parse(q.Assignment["y"])) < 1e-3 {
				t.Errorf("%v and %v are the same for any purpose", o.Assignment, q.Assignment)
			}
		}
		pending = append(pending, Trial{Name: "p" + strconv.Itoa(i), Assignment: q.Assignment, Labels: q.Labels, State: Pending})
	}
}

func TestFailuresAreAvoided(t *testing.T) {
	// The best lies at the edge of what works.
	f := func(x, y float64) []float64 {
		if x < 0.4 {
			return nil
		}
		return bowl(x, y)
	}
	trials := played(t, bayesian2(), 40, f)
	failed := 0
	for _, one := range trials[10:] {
		failed += btoi(one.State == Failed)
	}
	best, _ := Best(bayesian2(), trials)
	if best.Values[0] > 0.13 || failed > 10 {
		t.Errorf("best %v of 0.1, %d of 30 trials failed", best.Values[0], failed)
	}
}

func TestConstraintsAreMetAtTheirEdge(t *testing.T) {
	p := bayesian2()
	p.Space.Linear = []Linear{{Coefficients: map[string]float64{"x": 1, "y": 1}, Bound: 0.5}}
	p.Space.Allows = func(a Assignment) bool { return parse(a["x"]) > 0.05 }
	trials := played(t, p, 30, bowl)
	best, _ := Best(p, trials)
	// The nearest point of the line to (0.3, 0.6) is (0.1, 0.4).
	if want := math.Hypot(0.2, 0.2); best.Values[0] > want+1e-3 {
		t.Errorf("best %v, want %v", best.Values[0], want)
	}
}

// The first proposal after twenty trials of an earlier experiment is near the best.
func TestPriorTrialsAreEvidence(t *testing.T) {
	p := bayesian2()
	trials := played(t, p, 25, bowl)
	for i := range trials {
		trials[i].Prior = true
	}
	p.Seed, p.MaxTrials = 99, 3
	trials = append(trials, Trial{Assignment: Assignment{"x": "0.9", "y": "0.9"}, State: Succeeded, Values: []float64{0.7}, Finished: 1})
	answer, err := Next(p, trials, 5, nil)
	if err != nil || len(answer.Proposals) != 2 {
		t.Fatalf("%d proposals, %v", len(answer.Proposals), err)
	}
	q := answer.Proposals[1].Assignment
	if got := bowl(parse(q["x"]), parse(q["y"]))[0]; got > 0.05 {
		t.Errorf("%v is %v from the best, which the earlier experiment found", q, got)
	}
}

// A trial that was stopped early never looks better than half of those that ran on.
func TestStoppedTrialsAreNoWinners(t *testing.T) {
	for seed := range uint64(4) {
		p := bayesian2()
		p.Seed, p.Settings = seed, map[string]string{"acq_func": "EI"}
		trials := append(played(t, p, 10, bowl), Trial{
			Name: "stopped", Assignment: Assignment{"x": "0.9", "y": "0.1"}, State: Stopped, Finished: 11, Curve: []Point{{Step: 1, Value: -5}},
		})
		near := func() bool {
			answer, err := Next(p, trials, 1, nil)
			if err != nil {
				t.Fatal(err)
			}
			q := answer.Proposals[0].Assignment
			return math.Hypot(parse(q["x"])-0.9, parse(q["y"])-0.1) < 0.2
		}
		if near() {
			t.Error("the next proposal is next to the trial that was stopped")
		}
		// The same value at the end of a trial draws proposals near.
		trials[10].State, trials[10].Values = Succeeded, []float64{-5}
		if !near() {
			t.Error("the next proposal is not next to the best trial")
		}
	}
}

// Of two objectives in conflict, the front is found, better than by chance.
func TestSeveralObjectivesGrowTheHypervolume(t *testing.T) {
	two := func(x, y float64) []float64 {
		g := 1 + 9*y
		return []float64{x, -g * (1 - math.Sqrt(x/g))}
	}
	three := func(x, y float64) []float64 { return append(two(x, y), math.Hypot(x-0.8, y)) }
	for name, tt := range map[string]struct {
		f          func(x, y float64) []float64
		references []float64
		ideal      float64
	}{
		"two":   {two, []float64{1.1, -1.1}, 1.1*1.1 - 1./3},
		"three": {three, []float64{1.1, -1.1, 1.1}, 0},
	} {
		objectives := []Objective{{"a", Minimize, nil}, {"b", Maximize, nil}, {"c", Minimize, nil}}[:len(tt.references)]
		var got [2][]float64
		for seed := range uint64(3) {
			for i, algorithm := range []string{"BayesianOptimization", "Random"} {
				p := bayesian2(objectives...)
				p.Seed, p.Algorithm = seed, algorithm
				trials := played(t, p, 30, tt.f)
				for k := range objectives {
					objectives[k].Reference = &tt.references[k]
				}
				got[i] = append(got[i], Hypervolume(p, trials))
				for k := range objectives {
					objectives[k].Reference = nil
				}
			}
		}
		t.Logf("%s: hypervolumes %.4v, by chance %.4v", name, got[0], got[1])
		if slices.Min(got[0]) <= slices.Max(got[1]) || tt.ideal > 0 && slices.Min(got[0]) < 0.95*tt.ideal {
			t.Errorf("%s: hypervolumes %v, by chance %v, ideal %v", name, got[0], got[1], tt.ideal)
		}
	}
}

func TestAcquisitionFunctionsFindTheBest(t *testing.T) {
	for _, rule := range []string{"gp_hedge", "EI", "LCB", "PI"} {
		for _, by := range []string{"auto", "sampling"} {
			p := bayesian2()
			p.Settings = map[string]string{"acq_func": rule, "acq_optimizer": by, "base_estimator": "GP", "n_initial_points": "5"}
			best, _ := Best(p, played(t, p, 25, bowl))
			if best.Values[0] > 0.02 {
				t.Errorf("%s by %s: %v from the best", rule, by, best.Values[0])
			}
		}
	}
}

func TestUnknownModelsAreRefusedWithThoseThereAre(t *testing.T) {
	p := bayesian2()
	p.Settings = map[string]string{"base_estimator": "RF", "acq_func": "EIps", "kappa": "2"}
	want := []string{
		`algorithm.settings[acq_func]: "EIps" is not one of gp_hedge, EI, LCB, PI`,
		`algorithm.settings[base_estimator]: "RF" is not one of GP`,
		`algorithm.settings[kappa]: unknown: BayesianOptimization has base_estimator, n_initial_points, acq_func, acq_optimizer, random_state`,
	}
	if diff := cmp.Diff(want, texts(Validate(p))); diff != "" {
		t.Error(diff)
	}
}
