// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// run plays a search that starts from what another found to its end or to that many
// trials: up to parallel trials at once, which finish in an order of chance, some of
// them badly. Before each call all that is known goes through JSON, as it does when
// a manager is restarted.
func run(t *testing.T, p Problem, trials, parallel int) []Trial {
	t.Helper()
	r := stream(p.Seed, "run", parallel)
	var all []Trial
	known := priors(p, r)
	session, err := Begin(p, known)
	if err != nil {
		t.Fatal(err)
	}
	for finished := 0; finished < trials; {
		n := min(parallel-(len(all)-finished), trials-len(all))
		answer, err := Next(p, restarted(t, slices.Concat(known, all)), n, nil)
		if err != nil {
			t.Fatal(err)
		}
		if goesOn := session.Next(n, nil); !reflect.DeepEqual(goesOn, answer) {
			t.Fatalf("after %d trials a session that goes on proposes\n%+v, one that begins\n%+v", len(all), goesOn, answer)
		}
		for _, q := range answer.Proposals {
			all = append(all, Trial{Name: "t" + strconv.Itoa(len(all)), Assignment: q.Assignment, Labels: q.Labels, State: Pending})
		}
		if len(all) == finished {
			if answer.Exhausted == "" {
				t.Fatalf("stuck after %d trials", finished)
			}
			return all
		}
		finished++
		ended := pick(r, all)
		finish(&all[ended], finished, len(p.Objectives), r)
		session.Tell(ended, all[ended])
	}
	return all
}

// priors are some trials of another search, at points of this one.
func priors(p Problem, r *rand.Rand) []Trial {
	var known []Trial
	for i := range 5 {
		if a, ok := newCube(p.Space).draw(stream(p.Seed, "prior", i), map[string]bool{}); ok {
			known = append(known, Trial{Name: "p" + strconv.Itoa(i), Assignment: a, Prior: true})
			finish(&known[len(known)-1], i+1, len(p.Objectives), r)
		}
	}
	return known
}

// pick is one of the pending trials.
func pick(r *rand.Rand, all []Trial) int {
	var pending []int
	for i := range all {
		if all[i].State == Pending {
			pending = append(pending, i)
		}
	}
	return pending[r.IntN(len(pending))]
}

// finish ends a trial: of ten one fails, one reports no number and one is stopped.
func finish(t *Trial, order, objectives int, r *rand.Rand) {
	t.Finished, t.State = order, Succeeded
	sum := 0.0
	for _, b := range []byte(fmt.Sprint(t.Assignment)) {
		sum += math.Sin(float64(b))
	}
	t.Values = []float64{sum, r.Float64()}[:objectives]
	switch r.IntN(10) {
	case 0:
		t.State, t.Values = Failed, nil
	case 1:
		t.Values = nil
	case 2:
		t.State, t.Curve, t.Values = Stopped, []Point{{1, sum}, {2, sum / 2}}, nil
	}
}

func restarted(t *testing.T, trials []Trial) []Trial {
	t.Helper()
	text, err := json.Marshal(trials)
	if err != nil {
		t.Fatal(err)
	}
	var out []Trial
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func assignments(trials []Trial) []string {
	out := make([]string, len(trials))
	for i, t := range trials {
		out[i] = fmt.Sprint(t.Assignment)
	}
	return out
}

// Whatever the space and the history: proposals are of the space and meet its
// constraints, none is made twice while there are others, and the same search
// played again is the same.
func FuzzSearch(f *testing.F) {
	for seed := range uint64(12) {
		for i := range algorithms {
			f.Add(seed, uint8(i))
		}
	}
	f.Fuzz(func(t *testing.T, seed uint64, algorithm uint8) {
		r := stream(seed, "test", 1)
		a := algorithms[int(algorithm)%len(algorithms)]
		p := Problem{
			Space: anySpace(r), Seed: seed, Algorithm: a.Name, Parallel: 1 + r.IntN(5),
			Objectives: []Objective{{Metric: "loss", Direction: Maximize}, {Metric: "size", Direction: Minimize}},
		}
		p = playable(r, p)
		if len(Validate(p)) > 0 {
			t.Skip("no such search")
		}
		trials := run(t, p, 40, p.Parallel)
		c := newCube(p.Space)
		seen := map[string]bool{}
		for i, trial := range trials {
			if _, ok := c.vector(trial.Assignment); !ok || !c.meets(trial.Assignment) || !cmp.Equal(trial.Assignment, c.canonical(trial.Assignment)) {
				t.Fatalf("%s: trial %d, %v, is not of the space %+v", a.Name, i, trial.Assignment, p.Space)
			}
			key := c.key(trial.Assignment) + trial.Labels[rungLabel]
			if seen[key] && a.Name != "PBT" {
				t.Fatalf("%s: %v twice", a.Name, trial.Assignment)
			}
			seen[key] = true
		}
		if diff := cmp.Diff(trials, run(t, p, 40, p.Parallel)); diff != "" {
			t.Fatalf("%s: not the same again: %s", a.Name, diff)
		}
	})
}

// playable adds what some algorithms need, and half of the time a constraint.
func playable(r *rand.Rand, p Problem) Problem {
	switch p.Algorithm {
	case "PBT":
		p.Settings = map[string]string{"n_population": "4"}
	case "Hyperband", "ASHA", "BOHB":
		p.Settings = map[string]string{"r_l": "9"}
		if r.IntN(2) == 0 {
			p.Settings["resource_name"] = "epochs"
			p.Space.Parameters = append(p.Space.Parameters, whole("epochs", 1, 9))
		}
	}
	if a, _ := Find(p.Algorithm); a.Staged || a.Name == "CMAES" || r.IntN(2) == 0 {
		p.Objectives = p.Objectives[:1]
	}
	for i, q := range p.Space.Parameters {
		if q.Type == Int && q.When == nil && q.Name != "epochs" && r.IntN(2) == 0 {
			p.Space.Linear = []Linear{{Coefficients: map[string]float64{q.Name: 1}, Bound: q.Max - 1}}
		}
		if q.Type == Double && q.Step == 0 && p.Algorithm == "Grid" {
			p.Space.Parameters[i].Step = (q.Max - q.Min) / 3
		}
	}
	return p
}

func TestFiniteSpacesAreTriedToTheEnd(t *testing.T) {
	beta := whole("beta", 1, 3)
	beta.When = &When{Parameter: "optimizer", Values: []string{"adam"}}
	for _, a := range algorithms {
		p := problem(a.Name, choice("optimizer", "sgd", "adam"), beta, whole("layers", 1, 4))
		p.Space.Allows = func(a Assignment) bool { return a["layers"] != "4" || a["optimizer"] == "sgd" }
		if _, ok := newSettings(a.Settings, nil)["r_l"]; ok {
			p.Settings = map[string]string{"r_l": "9"}
		}
		if a.Name == "PBT" {
			continue // it trains a population for as long as it is let
		}
		trials := run(t, p, 200, 3)
		points := assignments(trials)
		slices.Sort(points)
		if points = slices.Compact(points); len(points) != 13 || p.Settings == nil && len(trials) != 13 {
			t.Errorf("%s: %d trials of %d points, want 13 of 13", a.Name, len(trials), len(points))
		}
		answer, err := Next(p, trials, 1, nil)
		if err != nil || answer.Exhausted == "" || len(answer.Proposals) > 0 {
			t.Errorf("%s: %+v, %v", a.Name, answer, err)
		}
	}
}

// A proposal of these does not depend on the batch it came in.
func TestBatchesAreTheSameAsSingleProposals(t *testing.T) {
	for _, name := range []string{"Random", "Grid", "Sobol", "TPE", "MultivariateTPE", "CMAES"} {
		p := problem(name, whole("x", 1, 9), choice("y", "a", "b", "c"), whole("z", -100, 100))
		trials := run(t, p, 25, 3)
		batch, err := Next(p, trials, 20, nil)
		if err != nil || len(batch.Proposals) != 20 {
			t.Fatalf("%s: %d proposals, %v", name, len(batch.Proposals), err)
		}
		for i, q := range batch.Proposals {
			one, _ := Next(p, trials, 1, nil)
			if diff := cmp.Diff(q, one.Proposals[0]); diff != "" {
				t.Errorf("%s, proposal %d: %s", name, i, diff)
			}
			trials = append(trials, Trial{Assignment: q.Assignment, Labels: q.Labels, State: Pending})
		}
	}
}

func TestALexicographicGrid(t *testing.T) {
	p := problem("Grid", Parameter{Name: "lr", Type: Double, Min: 0.001, Max: 1, Distribution: LogUniform}, choice("y", "a", "b"))
	p.Settings = map[string]string{"order": "Lexicographic", "points": "4"}
	want := []string{
		"map[lr:0.001 y:a]", "map[lr:0.001 y:b]", "map[lr:0.01 y:a]", "map[lr:0.01 y:b]", "map[lr:0.1 y:a]", "map[lr:0.1 y:b]", "map[lr:1 y:a]",
		"map[lr:1 y:b]",
	}
	if diff := cmp.Diff(want, assignments(run(t, p, 100, 1))); diff != "" {
		t.Error(diff)
	}
}

func TestASearchThatIsCancelledReturnsWhatItHas(t *testing.T) {
	for _, a := range algorithms {
		calls := 0
		p := problem(a.Name, whole("x", 1, 9), whole("y", 1, 9))
		answer, err := Next(p, nil, 9, func() bool { calls++; return calls > 3 })
		if len(Validate(p)) == 0 && (err != nil || len(answer.Proposals) > 3 || answer.Exhausted != "") {
			t.Errorf("%s: %d proposals, %q, %v", a.Name, len(answer.Proposals), answer.Exhausted, err)
		}
	}
}
