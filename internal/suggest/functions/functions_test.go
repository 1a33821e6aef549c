// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package functions

import (
	"math"
	"strconv"
	"testing"

	"github.com/millrace-ml/millrace/internal/suggest"
)

func TestTheOptimaAreWhereTheLiteratureSays(t *testing.T) {
	fill := func(n int, v string) []string {
		out := make([]string, n)
		for i := range out {
			out[i] = v
		}
		return out
	}
	for name, at := range map[string][]string{
		"Branin":          {"3.14159265", "2.275"},
		"Hartmann3":       {"0.114614", "0.555649", "0.852547"},
		"Hartmann6":       {"0.20168952", "0.15001069", "0.47687398", "0.27533243", "0.31165162", "0.65730054"},
		"Rosenbrock2":     fill(2, "1"),
		"Rosenbrock5":     fill(5, "1"),
		"Levy5":           fill(5, "1"),
		"Ackley5":         fill(5, "0"),
		"Rastrigin3":      fill(3, "0"),
		"StyblinskiTang4": fill(4, "-2.903534"),
		"SixHumpCamel":    {"0.0898420", "-0.7126564"},
		"Griewank4":       fill(4, "0"),
		"Michalewicz5":    {"2.202906", "1.570796", "1.284992", "1.923058", "1.720470"},
		"Shekel4":         {"4.0007465", "4.0005929", "3.9996629", "3.9995098"},
		"MixedScale2":     {"0.03", "358.4"},
		"Mixed6":          {"adam", "gelu", "5", "200", "0.001", "0.0001"},
	} {
		f, ok := Find(name)
		if !ok {
			t.Fatalf("no %s", name)
		}
		a := suggest.Assignment{}
		for i, p := range f.Space.Parameters {
			a[p.Name] = at[i]
		}
		if regret := f.Regret(a); math.Abs(regret) > 1e-5 {
			t.Errorf("%s at its optimum: regret %v", name, regret)
		}
	}
}

func TestNoFunctionIsBelowItsOptimum(t *testing.T) {
	for _, f := range All() {
		regrets, err := f.Minimize(f.Problem("Random", 1), 2000, 100)
		if err != nil || len(regrets) != 2000 || regrets[1999] < 0 || regrets[1999] > regrets[0] {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
}

func TestMedian(t *testing.T) {
	for want, values := range map[float64][]float64{2: {3, 1, 2}, 2.5: {4, 1, 2, 3}} {
		if got := Median(values); got != want {
			t.Errorf("%v: %s, want %v", values, strconv.FormatFloat(got, 'g', -1, 64), want)
		}
	}
}
