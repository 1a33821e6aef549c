// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// The metrics of the engine. Labels are bounded: kinds, condition types, statuses and documented reasons.
var (
	transitions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "millrace_condition_transitions_total",
		Help: "Changes of status or reason of a condition, counted once the change is stored.",
	}, []string{"kind", "type", "status", "reason"})

	timeIn = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "millrace_condition_duration_seconds",
		Help:    "How long a condition had a status, observed when it leaves it.",
		Buckets: prometheus.ExponentialBuckets(0.5, 4, 10),
	}, []string{"kind", "type", "status"})

	steps = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "millrace_step_duration_seconds",
		Help:    "How long objects took to reach a step of their life, such as all pods running, from their creation.",
		Buckets: prometheus.ExponentialBuckets(0.05, 4, 11),
	}, []string{"kind", "step", "variant"})

	occurrences = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "millrace_occurrences_total",
		Help: "What happened to objects, such as replacements of pods by the evidence against their nodes, counted once it is stored.",
	}, []string{"kind", "what", "variant"})

	planPanics = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "millrace_panics_total",
		Help: "Panics while planning or reporting; each left one object alone.",
	}, []string{"kind", "step"})

	writes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "millrace_writes_total",
		Help: "Writes to the API server, by the kind they were made for.",
	}, []string{"kind", "verb", "result"})
)

func init() {
	metrics.Registry.MustRegister(transitions, timeIn, steps, occurrences, planPanics, writes)
}
