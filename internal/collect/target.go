// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"slices"
	"time"

	"github.com/millrace-ml/millrace/internal/observe"
	"github.com/millrace-ml/millrace/internal/store"
)

// Kind is how metrics are fetched.
type Kind string

// The kinds of targets.
const (
	// Log follows the standard output and error of a container.
	Log Kind = "Log"
	// Scrape asks a Prometheus endpoint.
	Scrape Kind = "Scrape"
	// Push waits: the pod, or a sidecar in it, sends them.
	Push Kind = "Push"
)

// Target is one place that tells metrics of a trial.
type Target struct {
	Trial store.Trial
	Kind  Kind
	// Pod and Container tell; the namespace is the trial's. PodUID tells a pod from an earlier one of its name.
	Pod, PodUID, Container string
	// Restarts is how often the container was restarted.
	Restarts int32
	// Ended is true once nothing more will be told: the container has ended and will not be restarted or, with Push, the whole pod has.
	Ended bool
	// Metrics are wanted: the objective first.
	Metrics []string
	// Format and Filters are of the lines of a Log.
	Format  observe.Format
	Filters []string
	// URL is of a Scrape, with the address of the pod; Interval is how often.
	URL      string
	Interval time.Duration
}

// source is the name under which the store has what a target tells.
func (t Target) source() string {
	uid := t.PodUID
	if uid == "" {
		uid = t.Pod
	}
	return string(t.Kind) + "/" + uid + "/" + t.Container
}

func (t Target) series() store.Series { return store.Series{Trial: t.Trial, Source: t.source()} }

func (t Target) same(other Target) bool {
	return t.Restarts == other.Restarts && t.Ended == other.Ended && t.URL == other.URL && t.Interval == other.Interval &&
		slices.Equal(t.Metrics, other.Metrics) && slices.Equal(t.Filters, other.Filters) && t.Format == other.Format
}

// Point is a value on a curve.
type Point struct {
	At time.Time
	// Step is of the training, or observe.NoStep.
	Step  int64
	Value float64
}

// Curve is what is known of a metric while its trial runs.
type Curve struct {
	observe.Observation
	// Points are in the order of time. A long curve is thinned: its first and last points and its shape stay.
	Points []Point
}

// Snapshot is what is known of a trial.
type Snapshot struct {
	// Known is false until the store was read: nothing can be said of the metrics then.
	Known bool
	// Curves are by metric.
	Curves map[string]Curve
	// Drained is true when every target was read to its end: no further value will come.
	Drained bool
	// Fault is why a value could not be read, the last one; empty when all could.
	Fault string
}

// curve is a Curve being drawn.
type curve struct {
	observe.Observation
	points []observe.Sample
	// stride is how many samples one point stands for, and skipped how many were passed over since the last.
	stride, skipped int
}

// add draws a sample, in at most so many points.
func (c *curve) add(s observe.Sample, most int) {
	c.Add(s)
	if c.skipped++; c.skipped < c.stride {
		return
	}
	c.skipped = 0
	c.points = append(c.points, s)
	if len(c.points) <= most {
		return
	}
	half := c.points[:0]
	for i := 0; i < len(c.points); i += 2 {
		half = append(half, c.points[i])
	}
	c.points, c.stride = half, max(1, c.stride)*2
}

// drawn is the curve as others see it: nothing of it is shared. It ends with the latest value.
func (c *curve) drawn() Curve {
	points := make([]Point, 0, len(c.points)+1)
	for _, s := range c.points {
		points = append(points, Point{At: s.At, Step: s.Step, Value: s.Value})
	}
	if n := len(points); n > 0 && points[n-1].At.Before(c.LatestAt) {
		points = append(points, Point{At: c.LatestAt, Step: c.LatestStep, Value: c.Latest})
	}
	return Curve{Observation: c.Observation, Points: points}
}
