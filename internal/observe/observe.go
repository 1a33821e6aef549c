// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package observe reads metrics out of what a training says: lines of text, lines of JSON, TensorBoard events, and, in the package prom,
// the text of Prometheus. Bytes go in and samples come out; who fetched the bytes, and where the samples go, is no matter of it.
//
//	stdout ──follow──►  Text or JSON  ─┐
//	file   ──tail────►  Text or JSON  ─┼─►  []Sample  ──►  Observation: min, max, latest
//	events ──tail────►  Events        ─┤
//	GET    ──scrape──►  prom.Scrape   ─┘
//
// A value that is no number, such as nan of a diverged training, is a sample like any other: it is evidence of how the trial went.
// It is never the minimum or maximum. What could not be read at all is a Fault, so that a trial can say why it has no metric.
package observe

import (
	"fmt"
	"math"
	"time"
)

// Format is how a training writes its metrics.
type Format string

// The formats.
const (
	FormatText        Format = "Text"
	FormatJSON        Format = "JSON"
	FormatTensorBoard Format = "TensorBoard"
)

// NoStep is the step of a sample that was told without one.
const NoStep = -1

// Sample is one value of a metric.
type Sample struct {
	// Metric is its name, of at most MaxName bytes.
	Metric string
	// Value may be NaN or infinite.
	Value float64
	// At is when it was told. Samples of one metric and source have one identity in At and Seq.
	At time.Time
	// Seq tells samples of the same time apart, from 0.
	Seq int64
	// Step is of the training, or NoStep.
	Step int64
}

// MaxName is the longest name of a metric, in bytes.
const MaxName = 256

// Fault is a value that was wanted and could not be read, in words for the user.
type Fault string

// Parser reads samples out of lines. It remembers nothing from one line to the next.
type Parser interface {
	// Line reads one line without its end. The time is the sample's unless the line tells one.
	Line(line []byte, at time.Time) ([]Sample, []Fault)
}

// lines are the parsers by format.
var lines = map[Format]func(metrics, filters []string) (Parser, error){
	FormatText: func(metrics, filters []string) (Parser, error) { return newText(metrics, filters) },
	FormatJSON: func(metrics, _ []string) (Parser, error) { return newJSON(metrics), nil },
}

// New is the parser of lines in a format for the metrics of these names; nil is, of FormatJSON, every key. The filters are of FormatText; none is DefaultFilter. The
// error names the filter that is not a regular expression with two groups, or the format that has no lines.
func New(format Format, metrics, filters []string) (Parser, error) {
	parser, known := lines[format]
	if !known {
		return nil, fmt.Errorf("the format %q is not made of lines: use Text or JSON", format)
	}
	return parser(metrics, filters)
}

// Sequencer numbers samples that come one after another at the same time, so that each has an identity of its own. A source that
// is read again from any earlier time gives each sample the number it had.
type Sequencer map[string]position

type position struct {
	at   int64
	next int64
}

// Number sets Seq.
func (s Sequencer) Number(samples []Sample) {
	for i := range samples {
		p, at := s[samples[i].Metric], samples[i].At.UnixNano()
		if p.at != at {
			p = position{at: at}
		}
		samples[i].Seq = p.next
		p.next++
		s[samples[i].Metric] = p
	}
}

// finite says whether a value is a number.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
