// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// training plays a search whose trials spend a resource: how much one costs, and
// what it comes to, follow from its labels and its parent.
type training struct {
	Problem
	curve    func(a Assignment, resource float64) float64
	parallel int
	trials   []Trial
	parents  map[string]string // of trials by name
	spent    float64
}

// run trains until so much is spent, or nothing is left. Of the trials that run
// the cheapest finishes first, as on a clock.
func (g *training) run(t *testing.T, budget float64) {
	t.Helper()
	g.parents = map[string]string{}
	clock := map[string]float64{} // when each running trial ends
	now, finished := 0.0, 0
	for g.spent < budget {
		answer, err := Next(g.Problem, g.trials, g.parallel-len(clock), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range answer.Proposals {
			name := "t" + strconv.Itoa(len(g.trials))
			g.parents[name] = q.Parent
			clock[name] = now + g.cost(q)
			g.spent += g.cost(q)
			g.trials = append(g.trials, Trial{Name: name, Assignment: q.Assignment, Labels: q.Labels, State: Pending})
		}
		if len(clock) == 0 {
			return
		}
		finished++
		now = g.finish(clock, finished)
	}
}

func (g *training) cost(q Proposal) float64 {
	cost := parse(q.Labels[resourceLabel])
	for _, t := range g.trials {
		if t.Name == q.Parent {
			cost -= parse(t.Labels[resourceLabel])
		}
	}
	return cost
}

func (g *training) finish(clock map[string]float64, order int) float64 {
	first := -1
	for i, t := range g.trials {
		if end, ok := clock[t.Name]; ok && (first < 0 || end < clock[g.trials[first].Name]) {
			first = i
		}
	}
	trial := &g.trials[first]
	trial.State, trial.Finished = Succeeded, order
	trial.Values = []float64{g.curve(trial.Assignment, parse(trial.Labels[resourceLabel]))}
	now := clock[trial.Name]
	delete(clock, trial.Name)
	return now
}

// table counts the trials of the first round by bracket, rung and resource.
func (g *training) table() string {
	counts := map[string]int{}
	var rows []string
	for _, t := range g.trials {
		if t.Labels[roundLabel] != "0" {
			continue
		}
		row := fmt.Sprintf("bracket %s rung %s resource %s", t.Labels[bracketLabel], t.Labels[rungLabel], t.Labels[resourceLabel])
		if counts[row] == 0 {
			rows = append(rows, row)
		}
		counts[row]++
	}
	slices.Sort(rows)
	for i, row := range rows {
		rows[i] = fmt.Sprintf("%s: %d", row, counts[row])
	}
	return strings.Join(rows, "\n")
}

func ladderProblem(algorithm string, settings map[string]string, parameters ...Parameter) Problem {
	p := problem(algorithm, parameters...)
	p.Settings = settings
	return p
}

func byX(a Assignment, _ float64) float64 { return parse(a["x"]) }

// The table of Li et al. (2018), with the numbers of configurations that Katib
// and Optuna have.
const hyperbandTable = `bracket 0 rung 0 resource 81: 5
bracket 1 rung 0 resource 27: 8
bracket 1 rung 1 resource 81: 2
bracket 2 rung 0 resource 9: 15
bracket 2 rung 1 resource 27: 5
bracket 2 rung 2 resource 81: 1
bracket 3 rung 0 resource 3: 34
bracket 3 rung 1 resource 9: 11
bracket 3 rung 2 resource 27: 3
bracket 3 rung 3 resource 81: 1
bracket 4 rung 0 resource 1: 81
bracket 4 rung 1 resource 3: 27
bracket 4 rung 2 resource 9: 9
bracket 4 rung 3 resource 27: 3
bracket 4 rung 4 resource 81: 1`

func TestHyperbandHasTheTableOfThePaper(t *testing.T) {
	for _, parallel := range []int{1, 3, 50} {
		p := ladderProblem("Hyperband", map[string]string{"r_l": "81", "eta": "3"}, double("x", 0, 1))
		p.MaxTrials = 1000
		g := &training{Problem: p, curve: byX, parallel: parallel}
		g.run(t, math.Inf(1))
		if diff := cmp.Diff(hyperbandTable, g.table()); diff != "" {
			t.Errorf("%d at once: %s", parallel, diff)
		}
	}
}

func TestHyperbandPromotesTheBest(t *testing.T) {
	g := &training{curve: byX, parallel: 4, Problem: ladderProblem("Hyperband", map[string]string{"r_l": "9"}, double("x", 0, 1))}
	g.MaxTrials = 40
	g.run(t, math.Inf(1))
	rung := func(n string) (x []float64) {
		for _, t := range g.trials {
			if t.Labels[rungLabel] == n && t.Labels[bracketLabel] == "2" && t.Labels[roundLabel] == "0" {
				x = append(x, parse(t.Assignment["x"]))
			}
		}
		slices.Sort(x)
		return x
	}
	if diff := cmp.Diff(rung("0")[:3], rung("1")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(rung("0")[:1], rung("2")); diff != "" {
		t.Error(diff)
	}
}

func TestMoreOfAResourceContinuesOrBeginsAgain(t *testing.T) {
	for _, algorithm := range []string{"Hyperband", "ASHA", "BOHB"} {
		settings := map[string]string{"r_l": "9"}
		goOn := &training{curve: byX, parallel: 3, Problem: ladderProblem(algorithm, settings, double("x", 0, 1))}
		goOn.MaxTrials = 40
		goOn.run(t, math.Inf(1))
		names := map[string]Trial{}
		promoted := 0
		for _, trial := range goOn.trials {
			names[trial.Name] = trial
			parent, ok := names[goOn.parents[trial.Name]]
			if trial.Labels[rungLabel] == "0" {
				continue
			}
			promoted++
			if !ok || parent.Assignment["x"] != trial.Assignment["x"] || 3*parse(parent.Labels[resourceLabel]) != parse(trial.Labels[resourceLabel]) {
				t.Errorf("%s: %+v continues %+v", algorithm, trial, parent)
			}
		}
		again := map[string]string{"r_l": "9", "resource_name": "epochs"}
		restart := &training{curve: byX, parallel: 3, Problem: ladderProblem(algorithm, again, double("x", 0, 1), whole("epochs", 1, 20))}
		restart.MaxTrials = 40
		restart.run(t, math.Inf(1))
		for _, trial := range restart.trials {
			if trial.Assignment["epochs"] != trial.Labels[resourceLabel] || restart.parents[trial.Name] != "" {
				t.Errorf("%s: %+v does not begin again", algorithm, trial)
			}
		}
		if promoted == 0 {
			t.Errorf("%s: nothing was promoted", algorithm)
		}
	}
}

// learning is 256 curves that cross: what is best in the end is often slow at first.
func learning(seed uint64) (Parameter, func(Assignment, float64) float64) {
	r := stream(seed, "curves", 0)
	p := Parameter{Name: "x", Type: Discrete}
	floors, speeds := make([]float64, 256), make([]float64, 256)
	for i := range floors {
		floors[i], speeds[i] = r.Float64(), 0.3+r.Float64()
		p.Values = append(p.Values, strconv.Itoa(i))
	}
	curve := func(a Assignment, resource float64) float64 {
		i, _ := strconv.Atoi(a["x"])
		return floors[i] + (1-floors[i])*math.Pow(resource, -speeds[i])
	}
	return p, curve
}

// rank is how many curves are better in the end than a trial's.
func rank(a Assignment, curve func(Assignment, float64) float64, most float64) int {
	better, own := 0, curve(a, most)
	for i := range 256 {
		better += btoi(curve(Assignment{"x": strconv.Itoa(i)}, most) < own)
	}
	return better
}

// A fifth of what training all of 256 curves to their end takes is enough to find
// one of the best 1 %, in the median over 20 seeds.
func TestASHAFindsTheBestCurvesAtAFifthOfTheBudget(t *testing.T) {
	const most = 81
	var ranks []int
	for seed := range uint64(20) {
		p, curve := learning(seed)
		g := &training{curve: curve, parallel: 8, Problem: ladderProblem("ASHA", map[string]string{"r_l": "81"}, p)}
		g.Seed = seed
		g.run(t, 256*most/5)
		whole := slices.DeleteFunc(slices.Clone(g.trials), func(t Trial) bool { return t.Labels[resourceLabel] != "81" })
		best, ok := Best(g.Problem, whole)
		if !ok || g.spent > 256*most/5+most {
			t.Fatalf("nothing trained to the end, %v spent", g.spent)
		}
		ranks = append(ranks, rank(best.Assignment, curve, most))
	}
	slices.Sort(ranks)
	if ranks[10] > 2 {
		t.Errorf("ranks %v: the median is not among the best 1 %%", ranks)
	}
}

// The same as a rule over a search at random: each trial reports after each
// epoch, and is stopped when the rule says so.
func TestTheASHARuleFindsTheBestCurvesAtAFifthOfTheBudget(t *testing.T) {
	const most, parallel = 81, 8
	var ranks []int
	for seed := range uint64(20) {
		p, curve := learning(seed)
		search := problem("Random", p)
		search.Seed = seed
		rule := Rule{Name: "ASHA", Settings: map[string]string{"eta": "3"}, Objective: search.Objectives[0]}
		var trials []Trial
		spent, finished := 0, 0
		for finished < 256 {
			answer, _ := Next(search, trials, parallel-(len(trials)-finished), nil)
			for _, q := range answer.Proposals {
				trials = append(trials, Trial{Name: strconv.Itoa(len(trials)), Assignment: q.Assignment, State: Pending})
			}
			for i := range trials {
				trial := &trials[i]
				if trial.State != Pending {
					continue
				}
				spent++
				step := float64(len(trial.Curve) + 1)
				trial.Curve = append(trial.Curve, Point{step, curve(trial.Assignment, step)})
				if NewJudge(rule, trials).Stop(*trial).Stop {
					trial.State = Stopped
				} else if step == most {
					trial.State, trial.Values = Succeeded, []float64{trial.Curve[most-1].Value}
				}
				if trial.State != Pending {
					finished++
					trial.Finished = finished
				}
			}
		}
		best, ok := Best(search, trials)
		if !ok || spent > 256*most/5 {
			t.Fatalf("spent %d, a fifth is %d", spent, 256*most/5)
		}
		ranks = append(ranks, rank(best.Assignment, curve, most))
	}
	slices.Sort(ranks)
	if ranks[10] > 2 {
		t.Errorf("ranks %v: the median is not among the best 1 %%", ranks)
	}
}

// BOHB's model has to be worth its name: in the median its configurations come
// nearer to the optimum than those of chance.
func TestBOHBLearnsWhatHyperbandDoesNot(t *testing.T) {
	bowl := func(a Assignment, resource float64) float64 {
		return square(parse(a["x"])-0.3) + square(parse(a["y"])-0.8) + 0.1/resource
	}
	median := func(algorithm string) float64 {
		var least []float64
		for seed := range uint64(20) {
			g := &training{curve: bowl, parallel: 4, Problem: ladderProblem(algorithm, map[string]string{"r_l": "27"}, double("x", 0, 1), double("y", 0, 1))}
			g.Seed, g.MaxTrials = seed, 300
			g.run(t, math.Inf(1))
			best, _ := Best(g.Problem, g.trials)
			least = append(least, bowl(best.Assignment, 27))
		}
		slices.Sort(least)
		return least[len(least)/2] - 0.1/27
	}
	if model, chance := median("BOHB"), median("Hyperband"); model > chance/2 {
		t.Errorf("regret %g with the model, %g by chance", model, chance)
	}
}
