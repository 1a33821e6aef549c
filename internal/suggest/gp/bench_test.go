// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gp

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// BenchmarkProposal is what one proposal takes from the list of trials on: the
// fit, the search, and the 95th percentile of the whole.
func BenchmarkProposal(b *testing.B) {
	for _, trials := range []int{20, 100, 300, 1000} {
		for _, objectives := range []int{1, 2, 3} {
			b.Run(fmt.Sprintf("trials=%d/objectives=%d", trials, objectives), func(b *testing.B) {
				s := cube(6)
				e := some(s, trials, objectives, 1)
				var took []time.Duration
				for i := 0; b.Loop(); i++ {
					start := time.Now()
					New(s, Rules["EI"], e).Propose(stream(uint64(i)), Options{Climb: true})
					took = append(took, time.Since(start))
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
			})
		}
	}
}
