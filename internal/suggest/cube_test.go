// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func problem(algorithm string, parameters ...Parameter) Problem {
	return Problem{
		Space:      Space{Parameters: parameters},
		Objectives: []Objective{{Metric: "loss", Direction: Minimize}},
		Algorithm:  algorithm,
		Seed:       1,
	}
}

func double(name string, lo, hi float64) Parameter {
	return Parameter{Name: name, Type: Double, Min: lo, Max: hi}
}

func whole(name string, lo, hi float64) Parameter {
	return Parameter{Name: name, Type: Int, Min: lo, Max: hi}
}

func choice(name string, values ...string) Parameter {
	return Parameter{Name: name, Type: Categorical, Values: values}
}

// anySpace makes a space of up to six parameters of every sort.
func anySpace(r *rand.Rand) Space {
	var s Space
	for i := range 1 + r.IntN(6) {
		p := anyParameter(r, fmt.Sprintf("p%d", i))
		if i > 0 && r.IntN(3) == 0 {
			if parent := newDim(s.Parameters[r.IntN(i)]); parent.levels > 0 && parent.levels < branches {
				p.When = &When{Parameter: parent.Name, Values: []string{parent.word(r.IntN(parent.levels))}}
			}
		}
		s.Parameters = append(s.Parameters, p)
	}
	return s
}

func anyParameter(r *rand.Rand, name string) Parameter {
	p := Parameter{Name: name, Type: types[r.IntN(len(types))]}
	switch p.Type {
	case Double:
		p.Min = math.Round(r.NormFloat64()*1000) / 100
		p.Max = p.Min + float64(r.IntN(5))*0.7
		p.Step = float64(r.IntN(2)) * (p.Max - p.Min) / 7
		p.Distribution = distributions[r.IntN(len(distributions))]
	case Int:
		p.Min = float64(r.IntN(20) - 10)
		p.Max = p.Min + float64(r.IntN(9))
		p.Distribution = distributions[r.IntN(len(distributions))]
	case Discrete:
		for i := range 1 + r.IntN(4) {
			p.Values = append(p.Values, strconv.Itoa(i*7)+".50")
		}
	case Categorical, Ordinal:
		for i := range 1 + r.IntN(4) {
			p.Values = append(p.Values, fmt.Sprintf("w%d", i))
		}
	}
	if p.Min <= 0 && (p.Distribution == LogUniform || p.Distribution == LogNormal) {
		p.Max, p.Min = p.Max-p.Min+0.5, 0.5
		if p.Type == Int {
			p.Max, p.Min = p.Max+0.5, 1
		}
	}
	return p
}

func TestValuesAreSpelledInOneWay(t *testing.T) {
	for name, tt := range map[string]struct {
		p    Parameter
		u    float64
		want string
	}{
		"a double to ten digits of its range":  {double("x", 0, 1), 1.0 / 3, "0.3333333333"},
		"a double at its end":                  {double("x", -5, 10), 1, "10"},
		"a small number on a log scale":        {Parameter{Type: Double, Min: 1e-9, Max: 1, Distribution: LogUniform}, 0, "1e-9"},
		"the middle of a log scale":            {Parameter{Type: Double, Min: 1e-4, Max: 1, Distribution: LogUniform}, 0.5, "0.01"},
		"a step without binary noise":          {Parameter{Type: Double, Min: 0.1, Max: 0.5, Step: 0.1}, 0.5, "0.3"},
		"a step that does not reach the end":   {Parameter{Type: Double, Min: 0, Max: 1, Step: 0.3}, 1, "0.9"},
		"a whole number without a point":       {whole("n", 1, 1e6), 1, "1000000"},
		"a number of a list by its size":       {Parameter{Type: Discrete, Values: []string{"1e1", "0.50", "2"}}, 0, "0.5"},
		"a word as it is":                      {choice("w", "b", "0.50"), 0.9, "0.50"},
		"the middle of a bell":                 {Parameter{Type: Double, Min: -3, Max: 5, Distribution: Normal}, 0.5, "1"},
		"a bell stays in its range":            {Parameter{Type: Double, Min: -3, Max: 5, Distribution: Normal}, 1, "5"},
		"a range of one value":                 {double("x", 0.25, 0.25), 0.7, "0.25"},
		"a minus without a number":             {double("x", -1, 1), 0.5, "0"},
		"a whole number on a log scale, first": {Parameter{Type: Int, Min: 1, Max: 100, Distribution: LogUniform}, 0, "1"},
		"a whole number on a log scale, last":  {Parameter{Type: Int, Min: 1, Max: 100, Distribution: LogUniform}, 1, "100"},
	} {
		d := newDim(tt.p)
		if got := d.spell(tt.u); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func TestWholeNumbersAreEquallyLikely(t *testing.T) {
	d := newDim(whole("n", 3, 7))
	counts := map[string]int{}
	for i := range 1000 {
		counts[d.spell((float64(i)+0.5)/1000)]++
	}
	if diff := cmp.Diff(map[string]int{"3": 200, "4": 200, "5": 200, "6": 200, "7": 200}, counts); diff != "" {
		t.Error(diff)
	}
}

func TestTheSizeOfAConditionalSpace(t *testing.T) {
	sgd, adam := choice("optimizer", "sgd", "adam"), whole("beta", 1, 3)
	adam.When = &When{Parameter: "optimizer", Values: []string{"adam"}}
	c := newCube(Space{Parameters: []Parameter{adam, sgd, whole("layers", 1, 2)}})
	size, finite := c.size(0)
	if size != 8 || !finite {
		t.Fatalf("%d points, finite %v: want (sgd + adam x 3) x 2 layers", size, finite)
	}
	var got []string
	for k := range size {
		got = append(got, fmt.Sprint(c.at(k, 0)))
	}
	want := []string{
		"map[layers:1 optimizer:sgd]", "map[layers:2 optimizer:sgd]",
		"map[beta:1 layers:1 optimizer:adam]", "map[beta:1 layers:2 optimizer:adam]",
		"map[beta:2 layers:1 optimizer:adam]", "map[beta:2 layers:2 optimizer:adam]",
		"map[beta:3 layers:1 optimizer:adam]", "map[beta:3 layers:2 optimizer:adam]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Any point of any space is spelled, found again at the same value, and listed once.
func FuzzCube(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := stream(seed, "test", 0)
		space := anySpace(r)
		if faults := check(Problem{Space: space, Objectives: problem("Random").Objectives, Algorithm: "Random"}); len(faults) > 0 {
			t.Skip(faults)
		}
		c := newCube(space)
		for range 20 {
			a := c.assignment(c.uniform(r))
			u, ok := c.vector(a)
			if !ok {
				t.Fatalf("%v is not in its own space %+v", a, space)
			}
			if diff := cmp.Diff(a, c.assignment(u)); diff != "" {
				t.Fatalf("found at another value: %s", diff)
			}
		}
		listed := map[string]bool{}
		size, finite := c.size(0)
		if !finite || size > 5000 {
			return
		}
		for k := range size {
			listed[c.key(c.at(k, 0))] = true
		}
		if uint64(len(listed)) != size {
			t.Fatalf("%d points of %d", len(listed), size)
		}
	})
}

// A model of an earlier experiment may have left values of parameters that do not
// exist here; what hangs on them does not exist either.
func TestWhatIsInactiveHasNoPlace(t *testing.T) {
	b, c := choice("b", "on", "off"), double("c", 0, 1)
	b.When, c.When = &When{"a", []string{"yes"}}, &When{"b", []string{"on"}}
	space := newCube(Space{Parameters: []Parameter{choice("a", "yes", "no"), b, c}})
	left := Assignment{"a": "no", "b": "on", "c": "0.50", "stranger": "1"}
	if diff := cmp.Diff(Assignment{"a": "no"}, space.canonical(left)); diff != "" {
		t.Error(diff)
	}
	if space.key(left) != space.key(Assignment{"a": "no"}) {
		t.Error("two keys of one point")
	}
	if u, ok := space.vector(left); !ok || !math.IsNaN(u[1]) || !math.IsNaN(u[2]) {
		t.Errorf("%v, %v", u, ok)
	}
}

func TestPlainNumbersAreTheShortest(t *testing.T) {
	for _, text := range []string{"0", "1", "-1", "10", "0.5", "-0.25", "0.00001", "123456.789", "0.0001234"} {
		if !plain(text) || shortest(parse(text)) != text {
			t.Errorf("%s is plain %v and shortest %s", text, plain(text), shortest(parse(text)))
		}
	}
	for _, text := range []string{"", "-", "-0", "00", "01", "1.", ".5", "0.50", "+1", "1e3", "0.0000001", "1.0", "1_000", "NaN", "12345678901234567", "0x1"} {
		if plain(text) {
			t.Errorf("%q is plain", text)
		}
	}
}
