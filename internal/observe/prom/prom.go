// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package prom reads metrics out of the text of a Prometheus endpoint. It is apart from observe because the launcher in users' pods
// needs that and not this.
package prom

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/millrace-ml/millrace/internal/observe"
)

// Scrape reads the metrics of these names. A name may select by labels, name{split="validation"}; one that has several series is a
// Fault that lists them. Histograms and summaries are read by name_sum and name_count. The error says that the text is not one of
// Prometheus.
func Scrape(text io.Reader, metrics []string, at time.Time) ([]observe.Sample, []observe.Fault, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the text of Prometheus: %w", err)
	}
	var samples []observe.Sample
	var faults []observe.Fault
	for _, metric := range metrics {
		found := series(families, metric)
		if len(found) > 1 {
			faults = append(faults, ambiguous(metric, found))
			continue
		}
		for _, s := range found {
			samples = append(samples, observe.Sample{Metric: metric, Value: s.value, At: s.at(at), Step: observe.NoStep})
		}
	}
	return samples, faults, nil
}

// one is the value of one series.
type one struct {
	value float64
	of    *dto.Metric
}

// at is the time the endpoint tells, else that of the scrape.
func (s one) at(scraped time.Time) time.Time {
	if s.of.TimestampMs == nil {
		return scraped
	}
	return time.UnixMilli(*s.of.TimestampMs)
}

// series are those that a metric selects.
func series(families map[string]*dto.MetricFamily, metric string) []one {
	name, selector, _ := strings.Cut(metric, "{")
	labels := strings.TrimSuffix(selector, "}")
	family, read := find(families, name)
	var found []one
	for _, m := range family.GetMetric() {
		if value, ok := read(m); ok && selected(m, labels) {
			found = append(found, one{value, m})
		}
	}
	return found
}

type reader func(*dto.Metric) (float64, bool)

// suffixes are how histograms and summaries are read.
var suffixes = map[string]reader{
	"_sum": func(m *dto.Metric) (float64, bool) {
		return m.GetHistogram().GetSampleSum() + m.GetSummary().GetSampleSum(), m.Histogram != nil || m.Summary != nil
	},
	"_count": func(m *dto.Metric) (float64, bool) {
		count := m.GetHistogram().GetSampleCount() + m.GetSummary().GetSampleCount()
		return float64(count), m.Histogram != nil || m.Summary != nil
	},
}

func find(families map[string]*dto.MetricFamily, name string) (*dto.MetricFamily, reader) {
	if f := families[name]; f != nil {
		return f, plain
	}
	for _, suffix := range slices.Sorted(maps.Keys(suffixes)) {
		base, ok := strings.CutSuffix(name, suffix)
		if ok && families[base] != nil {
			return families[base], suffixes[suffix]
		}
	}
	return nil, plain
}

func plain(m *dto.Metric) (float64, bool) {
	value := m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
	return value, m.Gauge != nil || m.Counter != nil || m.Untyped != nil
}

// selected says whether a series has all labels of a list like a="b",c="d".
func selected(m *dto.Metric, list string) bool {
	for want := range strings.SplitSeq(list, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(want), "=")
		value = strings.Trim(strings.TrimSpace(value), `"`)
		has := func(l *dto.LabelPair) bool { return l.GetName() == strings.TrimSpace(name) && l.GetValue() == value }
		if name != "" && !slices.ContainsFunc(m.GetLabel(), has) {
			return false
		}
	}
	return true
}

func ambiguous(metric string, found []one) observe.Fault {
	var labels []string
	for _, s := range found {
		var pairs []string
		for _, l := range s.of.GetLabel() {
			pairs = append(pairs, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
		}
		labels = append(labels, "{"+strings.Join(pairs, ",")+"}")
	}
	slices.Sort(labels)
	return observe.Fault(fmt.Sprintf("%s: the endpoint has %d series of it, such as %s: name one by its labels", metric, len(found), labels[0]))
}
