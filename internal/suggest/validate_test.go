// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFaults(t *testing.T) {
	log := func(lo, hi float64) Parameter {
		return Parameter{Name: "x", Type: Double, Min: lo, Max: hi, Distribution: LogUniform}
	}
	when := func(p Parameter, parent string, values ...string) Parameter {
		p.When = &When{Parameter: parent, Values: values}
		return p
	}
	settings := func(p Problem, pairs ...string) Problem {
		p.Settings = map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			p.Settings[pairs[i]] = pairs[i+1]
		}
		return p
	}
	linear := func(p Problem, l Linear) Problem {
		p.Space.Linear = []Linear{l}
		return p
	}
	allows := func(p Problem, f func(Assignment) bool) Problem {
		p.Space.Allows = f
		return p
	}
	unit := double("x", 0, 1)
	for name, tt := range map[string]struct {
		p    Problem
		want string // of the first fault; empty is none
	}{
		"nothing":                     {problem("Random", unit), ""},
		"an unknown algorithm":        {problem("Rnd", unit), `algorithm: there is no algorithm "Rnd": use one of Random, Grid`},
		"katib's name":                {problem("random", unit), ""},
		"no parameters":               {problem("Random"), "parameters: there is none"},
		"an unknown type":             {problem("Random", Parameter{Name: "x", Type: "Float"}), "parameters[x].type"},
		"a name twice":                {problem("Random", unit, unit), "parameters[x].name"},
		"min above max":               {problem("Random", double("x", 2, 1)), "parameters[x].max: 1 is less than min, 2"},
		"the log of zero":             {problem("Random", log(0, 1)), "parameters[x].min: 0 has no logarithm"},
		"the log of less":             {problem("Random", log(-1, 1)), "parameters[x].min: -1 has no logarithm"},
		"not a number":                {problem("Random", double("x", math.NaN(), 1)), "parameters[x].min"},
		"a step beyond the range":     {problem("Random", Parameter{Name: "x", Type: Double, Max: 1, Step: 2}), "parameters[x].step"},
		"a step backwards":            {problem("Random", Parameter{Name: "x", Type: Double, Max: 1, Step: -1}), "parameters[x].step"},
		"half a whole number":         {problem("Random", whole("x", 0.5, 2)), "parameters[x].type"},
		"a list of nothing":           {problem("Random", choice("x")), "parameters[x].values"},
		"a number twice":              {problem("Random", Parameter{Name: "x", Type: Discrete, Values: []string{"1", "1.0"}}), `parameters[x].values: "1" is there twice`},
		"a word that is no number":    {problem("Random", Parameter{Name: "x", Type: Discrete, Values: []string{"a"}}), "parameters[x].values"},
		"a condition on nobody":       {problem("Random", when(unit, "y", "1")), `parameters[x].when: there is no parameter "y"`},
		"a condition on a continuum":  {problem("Random", unit, when(double("y", 0, 1), "x", "0.5")), "parameters[y].when"},
		"a condition on a wrong word": {problem("Random", choice("x", "a"), when(double("y", 0, 1), "x", "b")), `parameters[y].when: "x" has no value "b"`},
		"a circle of conditions": {
			problem("Random", when(choice("x", "a"), "y", "a"), when(choice("y", "a"), "x", "a")),
			"parameters[x].when: depends on itself",
		},
		"an unknown setting":              {settings(problem("Random", unit), "sigma", "1"), "algorithm.settings[sigma]: unknown: Random has random_state"},
		"a wrong setting":                 {settings(problem("Random", unit), "random_state", "-1"), `algorithm.settings[random_state]: "-1" is not a whole number at least 0`},
		"hyperband without a resource":    {problem("Hyperband", unit), "algorithm.settings[r_l]: is not set"},
		"a resource that is no parameter": {settings(problem("Hyperband", unit), "r_l", "9", "resource_name", "epochs"), `algorithm.settings[resource_name]: there is no parameter "epochs"`},
		"a resource of words":             {settings(problem("ASHA", unit, choice("e", "a")), "r_l", "9", "resource_name", "e"), `algorithm.settings[resource_name]: "e" has to be`},
		"more of a resource than its max": {settings(problem("BOHB", unit, whole("e", 1, 8)), "r_l", "9", "resource_name", "e"), `algorithm.settings[r_l]: 9 is more than the max of "e", 8`},
		"a ladder without an end":         {settings(problem("ASHA", unit), "r_l", "1e100"), "algorithm.settings[min_resource]: makes more than 30 rungs"},
		"a ladder without a rung":         {settings(problem("ASHA", unit), "r_l", "9", "min_resource", "10"), "algorithm.settings[r_l]: is less than min_resource"},
		"CMA-ES of one number":            {problem("cmaes", unit, choice("y", "a", "b")), "parameters: CMAES needs two parameters"},
		"two names of one setting":        {settings(problem("tpe", unit), "n_ei_candidates", "9", "n_EI_candidates", "9"), "algorithm.settings[n_ei_candidates]: is the same setting as n_EI_candidates"},
		"a grid without a step":           {problem("Grid", unit), "parameters[x].step: a grid needs a step"},
		"a grid of points":                {settings(problem("Grid", unit), "points", "5"), ""},
		"a constraint on a stranger":      {linear(problem("Random", unit), Linear{Coefficients: map[string]float64{"y": 1}}), "constraints[0]"},
		"a constraint on words":           {linear(problem("Random", choice("x", "a")), Linear{Coefficients: map[string]float64{"x": 1}}), "constraints[0]"},
		"constraints that allow nothing": {
			linear(problem("Random", unit), Linear{Coefficients: map[string]float64{"x": 1}, Bound: -1}),
			"constraints: none of 10000 points drawn",
		},
		"a constraint that allows one point in a million": {
			allows(problem("Random", whole("x", 1, 1000), whole("y", 1, 1000)), func(a Assignment) bool { return a["x"] == "7" && a["y"] == "9" }), "",
		},
		"a finite space without a point": {
			allows(problem("Random", whole("x", 1, 10)), func(Assignment) bool { return false }), "constraints: none of the 10 points",
		},
	} {
		got := strings.Join(texts(Validate(tt.p)), "\n")
		if !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

func TestOneObjectiveForThoseThatRankByOne(t *testing.T) {
	for _, name := range []string{"CMAES", "PBT", "ASHA"} {
		p := problem(name, double("x", 0, 1), double("y", 0, 1))
		p.Settings = map[string]string{"r_l": "9"}
		if name != "ASHA" {
			p.Settings = nil
		}
		p.Objectives = append(p.Objectives, Objective{Metric: "size", Direction: Minimize})
		if got := Validate(p); len(got) != 1 || got[0].Path != "objectives" {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestNextRefusesAProblemWithFaults(t *testing.T) {
	if _, err := Next(problem("Random", double("x", 2, 1)), nil, 1, nil); err == nil {
		t.Error("no error")
	}
}

func TestMaxTrialsBoundsTheSearch(t *testing.T) {
	p := problem("Random", double("x", 0, 1))
	p.MaxTrials = 3
	got, err := Next(p, []Trial{{Assignment: Assignment{"x": "0.5"}}, {Prior: true}}, 10, nil)
	if err != nil || len(got.Proposals) != 2 || got.Exhausted != "" {
		t.Errorf("%d proposals, %q, %v", len(got.Proposals), got.Exhausted, err)
	}
}

func TestBestAndHypervolume(t *testing.T) {
	nan := math.NaN()
	trial := func(name string, finished int, values ...float64) Trial {
		return Trial{Name: name, State: Succeeded, Finished: finished, Values: values}
	}
	two := Problem{Objectives: []Objective{{Direction: Minimize, Reference: new(4.0)}, {Direction: Maximize, Reference: new(0.0)}}}
	trials := []Trial{
		trial("late", 9, 1, 1), trial("first", 1, 1, 1), trial("nan", 2, nan, 9), trial("short", 3, 0), trial("worse", 4, 2, 1), trial("other", 5, 3, 2),
		{Name: "failed", State: Failed, Values: []float64{0, 0}},
		{Name: "prior", State: Succeeded, Values: []float64{0, 9}, Prior: true},
	}
	best, _ := Best(two, trials)
	var front []string
	for _, t := range Pareto(two, trials) {
		front = append(front, t.Name)
	}
	if diff := cmp.Diff([]string{"first", "other"}, front); diff != "" || best.Name != "first" {
		t.Errorf("best %s, front %s", best.Name, diff)
	}
	if got := Hypervolume(two, trials); got != 3*1+1*1 {
		t.Errorf("hypervolume %v, want 4", got)
	}
}

// Inclusion and exclusion over all subsets is slow, and surely right.
func TestHypervolumeAgainstInclusionAndExclusion(t *testing.T) {
	r := stream(3, "test", 0)
	for dims := 2; dims <= 4; dims++ {
		ref := make([]float64, dims)
		points := make([][]float64, 8)
		for i := range ref {
			ref[i] = 1
		}
		for i := range points {
			points[i] = make([]float64, dims)
			for j := range points[i] {
				points[i][j] = r.Float64()
			}
		}
		want := 0.0
		for set := 1; set < 1<<len(points); set++ {
			corner, sign := make([]float64, dims), -1.0
			for i, p := range points {
				if set>>i&1 == 1 {
					sign = -sign
					for j := range p {
						corner[j] = max(corner[j], p[j])
					}
				}
			}
			want += sign * volume(corner, ref)
		}
		if got := hypervolume(points, ref); math.Abs(got-want) > 1e-9 {
			t.Errorf("%d objectives: %v, want %v", dims, got, want)
		}
	}
}
