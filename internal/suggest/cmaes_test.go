// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"math"
	"strconv"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// batches asks for ten trials at a time, and finishes them as they came.
func batches(t *testing.T, p Problem, n int, value func(Assignment) float64) []Trial {
	t.Helper()
	var trials []Trial
	for len(trials) < n {
		answer, err := Next(p, trials, 10, nil)
		if err != nil || len(answer.Proposals) != 10 {
			t.Fatalf("%d proposals, %v", len(answer.Proposals), err)
		}
		for _, q := range answer.Proposals {
			trial := Trial{Name: strconv.Itoa(len(trials)), Assignment: q.Assignment, Labels: q.Labels, State: Succeeded, Finished: len(trials) + 1}
			trial.Values = []float64{value(q.Assignment)}
			trials = append(trials, trial)
		}
	}
	return trials
}

func TestCMAESRestartsWithLargerGenerations(t *testing.T) {
	for strategy, want := range map[string]string{"none": "0", "ipop": "1", "bipop": "1"} {
		p := problem("CMAES", double("x", -5, 5), double("y", -5, 5))
		p.Settings = map[string]string{"restart_strategy": strategy}
		// A step is flat nearly everywhere: a run converges soon.
		trials := batches(t, p, 1000, func(a Assignment) float64 { return math.Round(square(parse(a["x"])) / 5) })
		largest, first := map[string]int{}, map[string]int{}
		last := "0"
		for _, trial := range trials {
			largest[trial.Labels[runLabel]+"/"+trial.Labels[generationLabel]]++
			first[trial.Labels[runLabel]]++
			if parse(trial.Labels[runLabel]) > parse(last) {
				last = trial.Labels[runLabel]
			}
		}
		if strategy == "none" && last != want || strategy != "none" && parse(last) < parse(want) {
			t.Errorf("%s: the last run is %s: %v", strategy, last, first)
		}
		if strategy != "none" && largest["1/0"] < 2*6 {
			t.Errorf("%s: a generation of the second run has %d members", strategy, largest["1/0"])
		}
	}
}

func TestCMAESWaitsForNobody(t *testing.T) {
	p := problem("CMAES", double("x", 0, 1), double("y", 0, 1))
	answer, err := Next(p, nil, 50, nil)
	if err != nil || len(answer.Proposals) != 50 || answer.Proposals[49].Labels[generationLabel] != "0" {
		t.Errorf("%d proposals, %v", len(answer.Proposals), err)
	}
}

// What finishes late, because many run at once, is learned from too: eight workers
// come nearly as far as one.
func TestCMAESLearnsFromLateTrials(t *testing.T) {
	sphere := func(a Assignment) float64 {
		return square(parse(a["x"])-0.3) + square(parse(a["y"])-0.7) + square(parse(a["z"])-0.5)
	}
	p := problem("CMAES", double("x", 0, 1), double("y", 0, 1), double("z", 0, 1))
	best, _ := Best(p, batches(t, p, 300, sphere))
	if best.Values[0] > 1e-5 {
		t.Errorf("regret %g", best.Values[0])
	}
}

func TestCMAESBearsLabelsOfOthers(t *testing.T) {
	p := problem("CMAES", double("x", 0, 1), double("y", 0, 1))
	trials := batches(t, p, 40, func(Assignment) float64 { return 0 })
	for i := range trials {
		trials[i].Labels = map[string]string{runLabel: "0", generationLabel: strconv.Itoa(i * 7), memberLabel: strconv.Itoa(-i)}
	}
	if answer, err := Next(p, trials, 5, nil); err != nil || len(answer.Proposals) != 5 {
		t.Errorf("%d proposals, %v", len(answer.Proposals), err)
	}
}

func TestCMAESFindsWholeNumbersExactly(t *testing.T) {
	p := problem("CMAES", whole("x", 0, 1000), whole("y", 1, 8), double("z", 0, 1), choice("w", "a", "b", "c"))
	trials := batches(t, p, 1000, func(a Assignment) float64 {
		return square((parse(a["x"])-777)/1000) + square((parse(a["y"])-6)/8) + square(parse(a["z"])-0.4)
	})
	best, _ := Best(p, trials)
	if x, y := best.Assignment["x"], best.Assignment["y"]; math.Abs(parse(x)-777) > 1 || y != "6" {
		t.Errorf("%v", best)
	}
}

func TestCMAESBeginsAtTheBestOfEarlierExperiments(t *testing.T) {
	p := problem("CMAES", double("x", 0, 1), double("y", 0, 1))
	prior := Trial{Name: "old", Prior: true, State: Succeeded, Finished: 1, Values: []float64{0}, Assignment: Assignment{"x": "0.9", "y": "0.1"}}
	answer, err := Next(p, []Trial{prior}, 50, nil)
	x, y := 0.0, 0.0
	for _, q := range answer.Proposals {
		x, y = x+parse(q.Assignment["x"])/50, y+parse(q.Assignment["y"])/50
	}
	if err != nil || x < 0.7 || y > 0.3 {
		t.Errorf("the middle of the first generation is %g, %g, %v", x, y, err)
	}
}

// However narrow the distribution has become, each finite dimension leaves its
// value with the chance that the margin promises.
func TestTheMarginKeepsFiniteDimensionsMoving(t *testing.T) {
	d := newDim(whole("x", 0, 9))
	for _, mean := range []float64{0.01, 0.05, 0.449, 0.45, 0.5, 0.951, 1} {
		for _, sigma := range []float64{1e-9, 1e-4, 0.01, 0.3} {
			e := newEvolution(0, 6, []float64{mean, 0.5}, sigma)
			e.cov = mat.NewSymDense(2, []float64{1, 0, 0, 1})
			e.keepMoving(0, &d)
			lo, hi := d.cell(d.level(mean))
			spread := e.sigma * e.stretch[0]
			leaves := 0.0
			if lo > 0.001 {
				leaves += normalBelow((lo - e.mean[0]) / spread)
			}
			if hi < 0.999 {
				leaves += normalBelow((e.mean[0] - hi) / spread)
			}
			if least := 1.0 / 12; leaves < least-1e-6 || math.IsNaN(leaves) {
				t.Errorf("mean %g, sigma %g: leaves with %g, want %g", mean, sigma, leaves, least)
			}
		}
	}
}

func TestOrthogonalDraws(t *testing.T) {
	draws := orthogonal(5, stream(1, "test", 0))
	for i, a := range draws {
		for _, b := range draws[:i] {
			if math.Abs(dot(a, b)) > 1e-9 {
				t.Errorf("%v and %v are not at right angles", a, b)
			}
		}
	}
}
