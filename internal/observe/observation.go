// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"math"
	"time"
)

// Strategy is which of its values an objective takes from a metric.
type Strategy string

// The strategies.
const (
	Min    Strategy = "Min"
	Max    Strategy = "Max"
	Latest Strategy = "Latest"
)

// Observation is what is known of one metric.
type Observation struct {
	Metric string
	// Count is how many values were told, NotFinite how many of them were NaN or infinite.
	Count, NotFinite int64
	// Min and Max are of the finite values; NaN when there are none.
	Min, Max float64
	// Latest is the last value, which may be NaN or infinite; LatestAt, LatestSeq and LatestStep are of its sample.
	Latest     float64
	LatestAt   time.Time
	LatestSeq  int64
	LatestStep int64
	// Dropped is how many values were counted and not kept, because of a bound of the store.
	Dropped int64
}

// Nothing is the observation of a metric before its first value.
func Nothing(metric string) Observation {
	return Observation{Metric: metric, Min: math.NaN(), Max: math.NaN(), Latest: math.NaN(), LatestStep: NoStep}
}

// Add counts a sample.
func (o *Observation) Add(s Sample) {
	o.Count++
	if !finite(s.Value) {
		o.NotFinite++
	}
	o.Fold(s)
}

// Fold is Add without counting: the outcome is the same however often, and in whatever order, samples are folded.
func (o *Observation) Fold(s Sample) {
	if finite(s.Value) {
		o.Min, o.Max = lower(o.Min, s.Value), -lower(-o.Max, -s.Value)
	}
	if o.LatestAt.IsZero() || s.At.After(o.LatestAt) || s.At.Equal(o.LatestAt) && s.Seq >= o.LatestSeq {
		o.Latest, o.LatestAt, o.LatestSeq, o.LatestStep = s.Value, s.At, s.Seq, s.Step
	}
}

// Merge adds what another source told of the same metric.
func (o *Observation) Merge(other Observation) {
	o.Count, o.NotFinite, o.Dropped = o.Count+other.Count, o.NotFinite+other.NotFinite, o.Dropped+other.Dropped
	o.Min, o.Max = lower(o.Min, other.Min), -lower(-o.Max, -other.Max)
	if other.Count > 0 {
		o.Fold(Sample{Value: other.Latest, At: other.LatestAt, Seq: other.LatestSeq, Step: other.LatestStep})
	}
}

// lower is the lower of two values, of which either may be NaN for none.
func lower(a, b float64) float64 {
	if math.IsNaN(a) || b < a {
		return b
	}
	return a
}

// values are how a strategy reads an observation.
var values = map[Strategy]func(Observation) float64{
	Min:    func(o Observation) float64 { return o.Min },
	Max:    func(o Observation) float64 { return o.Max },
	Latest: func(o Observation) float64 { return o.Latest },
}

// Value is the metric by a strategy, and whether it was told at all. NaN is a metric that was told and never was a number, or, by
// Latest, is none now: the trial diverged.
func (o Observation) Value(by Strategy) (float64, bool) {
	read, known := values[by]
	if !known || o.Count == 0 {
		return math.NaN(), false
	}
	return read(o), true
}
