// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package prom

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace-ml/millrace/internal/observe"
)

const page = `# HELP accuracy of the validation
# TYPE accuracy gauge
accuracy 0.91
loss{split="train",run="1"} 0.25 1638422847287
loss{split="validation",run="1"} NaN
# TYPE steps_total counter
steps_total 12
# TYPE step_seconds histogram
step_seconds_bucket{le="1"} 3
step_seconds_bucket{le="+Inf"} 4
step_seconds_sum 2.5
step_seconds_count 4
`

func TestScrape(t *testing.T) {
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	told := func(metric string, v float64, at time.Time) observe.Sample {
		return observe.Sample{Metric: metric, Value: v, At: at, Step: observe.NoStep}
	}
	metrics := []string{
		"accuracy", `loss{split="train"}`, `loss{ run="1", split="validation" }`, "steps_total", "step_seconds_sum", "step_seconds_count",
		"step_seconds", "absent", "loss", `loss{split="test"}`,
	}
	got, faults, err := Scrape(strings.NewReader(page), metrics, noon)
	if err != nil {
		t.Fatal(err)
	}
	want := []observe.Sample{
		told("accuracy", 0.91, noon), told(metrics[1], 0.25, time.UnixMilli(1638422847287)), told(metrics[2], math.NaN(), noon),
		told("steps_total", 12, noon), told("step_seconds_sum", 2.5, noon), told("step_seconds_count", 4, noon),
	}
	nans := cmp.Comparer(func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) })
	if diff := cmp.Diff(want, got, nans); diff != "" {
		t.Errorf("samples (-want +got):\n%s", diff)
	}
	if len(faults) != 1 || !strings.Contains(string(faults[0]), `loss: the endpoint has 2 series of it, such as {`) {
		t.Errorf("faults %q", faults)
	}
	if _, _, err := Scrape(strings.NewReader("<html>"), metrics, noon); err == nil {
		t.Error("HTML is metrics")
	}
}

func FuzzScrape(f *testing.F) {
	f.Add(page, `loss{split="train"}`)
	f.Fuzz(func(_ *testing.T, text, metric string) {
		_, _, _ = Scrape(strings.NewReader(text), []string{metric}, time.Unix(0, 0))
	})
}
