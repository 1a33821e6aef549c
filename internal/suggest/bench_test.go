// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"fmt"
	"strconv"
	"testing"
)

// What one proposal takes after so many trials, eight of them pending.
func BenchmarkNext(b *testing.B) {
	for _, a := range algorithms {
		for _, n := range []int{100, 1000, 10000} {
			if a.Staged && n > 1000 {
				continue // to come there takes too long
			}
			p := problem(a.Name, double("a", 0, 1), double("b", 0, 1), double("c", 0, 1), whole("d", 1, 1000), choice("e", "x", "y", "z"), double("f", 0, 1))
			switch {
			case a.Name == "Grid":
				p.Settings = map[string]string{"points": "50"}
			case a.Staged && a.Name != "PBT":
				p.Settings = map[string]string{"r_l": "81"}
			}
			b.Run(fmt.Sprintf("%s/%d", a.Name, n), func(b *testing.B) {
				trials := past(b, p, n)
				for b.Loop() {
					if _, err := Next(p, trials, 1, nil); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// past is a history of so many trials, the last eight of them pending.
func past(b *testing.B, p Problem, n int) []Trial {
	b.Helper()
	if p.Algorithm == "TPE" || p.Algorithm == "MultivariateTPE" || p.Algorithm == "BayesianOptimization" {
		p.Algorithm = "Random" // any evidence will do, and this is quick
	}
	var trials []Trial
	for len(trials) < n {
		answer, err := Next(p, trials, max(n/20, 5), nil)
		if err != nil || len(answer.Proposals) == 0 {
			b.Fatal(err)
		}
		for _, q := range answer.Proposals {
			t := Trial{Name: strconv.Itoa(len(trials)), Assignment: q.Assignment, Labels: q.Labels, State: Succeeded, Finished: len(trials) + 1}
			t.Values = []float64{square(parse(q.Assignment["a"])-0.3) + parse(q.Assignment["d"])/1000}
			trials = append(trials, t)
		}
	}
	for i := range trials[n-8 : n] {
		t := &trials[n-8+i]
		t.State, t.Values, t.Finished = Pending, nil, 0
	}
	return trials[:n]
}
