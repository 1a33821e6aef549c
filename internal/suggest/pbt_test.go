// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"math"
	"slices"
	"testing"
)

// evolve plays PBT: a member gets better by what its rate is worth, and comes to
// the sum of that over its line of parents.
func evolve(t *testing.T, p Problem, parallel int) ([]Trial, map[string]string, map[string]float64) {
	t.Helper()
	var trials []Trial
	parents, reached := map[string]string{}, map[string]float64{}
	for finished := range p.MaxTrials {
		answer, err := Next(p, trials, parallel-(len(trials)-finished), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range answer.Proposals {
			name := "t" + shortest(float64(len(trials)))
			parents[name] = q.Parent
			trials = append(trials, Trial{Name: name, Assignment: q.Assignment, Labels: q.Labels, State: Pending})
		}
		i := slices.IndexFunc(trials, func(t Trial) bool { return t.State == Pending })
		if i < 0 {
			t.Fatalf("stuck after %d", finished)
		}
		trial := &trials[i]
		reached[trial.Name] = reached[parents[trial.Name]] + 1/(1+math.Abs(math.Log10(parse(trial.Assignment["lr"]))+2))
		trial.State, trial.Finished, trial.Values = Succeeded, finished+1, []float64{-reached[trial.Name]}
	}
	return trials, parents, reached
}

func pbtProblem(size string, settings ...string) Problem {
	p := problem("PBT", Parameter{Name: "lr", Type: Double, Min: 1e-5, Max: 1, Distribution: LogUniform}, choice("optimizer", "sgd", "adam"))
	p.Settings = map[string]string{"n_population": size}
	for i := 0; i < len(settings); i += 2 {
		p.Settings[settings[i]] = settings[i+1]
	}
	p.MaxTrials = 60
	return p
}

func TestPBTTrainsPopulationsOfAnySize(t *testing.T) {
	for _, size := range []string{"2", "3", "5", "20"} {
		for _, parallel := range []int{1, 4, 30} {
			trials, _, _ := evolve(t, pbtProblem(size), parallel)
			slots := map[string]int{}
			for _, trial := range trials {
				slots[trial.Labels[slotLabel]]++
			}
			if n := int(parse(size)); len(slots) != n || slots["0"] < 60/n-2 || slots["0"] > 60/n+2 {
				t.Errorf("%s members, %d at once: trials by member %v", size, parallel, slots)
			}
		}
	}
}

// The rate that is best is not known to any member at first, and by copying and
// changing the population comes near it.
func TestPBTGetsBetterThanItsFirstGeneration(t *testing.T) {
	p := pbtProblem("6")
	p.MaxTrials = 300
	trials, _, _ := evolve(t, p, 6)
	distance := func(trials []Trial) float64 {
		var d []float64
		for _, t := range trials {
			d = append(d, math.Abs(math.Log10(parse(t.Assignment["lr"]))+2))
		}
		slices.Sort(d)
		return d[len(d)/2]
	}
	if first, last := distance(trials[:6]), distance(trials[len(trials)-30:]); last > first/2 {
		t.Errorf("decades from the best rate: %g at first, %g in the end", first, last)
	}
}

func TestPBTChangesAFifthOrDrawsAnew(t *testing.T) {
	for probability, want := range map[string]func(ratio float64) bool{
		"0": func(ratio float64) bool { return ratio > 0.79 && ratio < 1.21 },
		"1": func(ratio float64) bool { return ratio < 0.79 || ratio > 1.21 },
	} {
		trials, parents, _ := evolve(t, pbtProblem("5", "resample_probability", probability), 5)
		copies, right := 0, 0
		byName := map[string]Trial{}
		for _, trial := range trials {
			byName[trial.Name] = trial
			parent, ok := byName[parents[trial.Name]]
			if !ok || parent.Labels[slotLabel] == trial.Labels[slotLabel] {
				continue
			}
			copies++
			right += btoi(want(parse(trial.Assignment["lr"]) / parse(parent.Assignment["lr"])))
		}
		if copies < 5 || right < copies*8/10 {
			t.Errorf("resample_probability %s: %d of %d copies", probability, right, copies)
		}
	}
}
