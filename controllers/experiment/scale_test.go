// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/study"
)

// large is an experiment that has made so many trials, all but a few of which are in pages.
func large(trials int) (*v1alpha1.Experiment, World) {
	e := search("Random", 30, int32(trials+100))
	w := World{Recorded: true}
	for i := range trials {
		value := fmt.Sprint(float64((i*7919)%trials) + 1)
		r := study.Record{
			Name: fmt.Sprintf("digits-%d", i+1), Index: i + 1, Proposal: i + 1, Phase: v1alpha1.PhaseSucceeded,
			Assignment: map[string]string{"lr": "0.01", "width": "64"}, Metrics: []v1alpha1.MetricValue{{Name: "loss", Value: value}},
			Started: noon, Ended: noon.Add(time.Duration(i) * time.Second),
		}
		if i >= 30 {
			r.Follows = []int{i - 29}
		}
		for step := range 32 {
			r.Curve = append(r.Curve, v1alpha1.CurvePoint{Step: fmt.Sprint(step), Value: value})
		}
		if i%pageSize == 0 {
			w.Pages = append(w.Pages, Page{Name: fmt.Sprintf("page-%04d", i/pageSize)})
		}
		last := &w.Pages[len(w.Pages)-1]
		last.Records = append(last.Records, r)
	}
	return e, w
}

// BenchmarkPass is what one end costs an experiment that has made 10,000 trials, beside the search.
func BenchmarkPass(b *testing.B) {
	e, w := large(10_000)
	for b.Loop() {
		w.study(e)
		decide(e, w, stateOf(e, w, noon))
		Plan(e, w, noon)
		Report(e, w, noon)
	}
}
