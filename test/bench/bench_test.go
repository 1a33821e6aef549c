// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/millrace-ml/millrace/internal/envtest"
)

// repetitions of each measurement, of which the median is printed.
const repetitions = 3

// shape is a number of jobs and the pods of each.
type shape struct{ jobs, pods int }

func (s shape) String() string { return fmt.Sprintf("%d x %d", s.jobs, s.pods) }

var shapes = []shape{{250, 4}, {1, 500}}

func TestMain(m *testing.M) { os.Exit(envtest.Main(m)) }

// TestRate compares pods made by the manager with the same pods made by a plain client, alone and with the job and the Service that
// belong to them: these somebody has to write, whoever makes the pods.
func TestRate(t *testing.T) {
	b := newBench(t)
	b.rate(shape{20, 4}, false) // the first requests of a kind pay for everybody's
	table := newTable("jobs x pods", "plain client", "manager", "ratio", "jobs exist first", "ratio", "same objects", "ratio")
	for _, s := range shapes {
		var plain, ours, held, same []float64
		for range repetitions {
			template, rate := b.rate(s, false)
			ours = append(ours, rate)
			_, rate = b.rate(s, true)
			held = append(held, rate)
			plain = append(plain, b.plain(template))
			same = append(same, b.same(s, template))
		}
		p, o, h, e := median(plain), median(ours), median(held), median(same)
		table.row(s, pods(p), pods(o), fmt.Sprintf("%.2f", o/p), pods(h), fmt.Sprintf("%.2f", h/p), pods(e), fmt.Sprintf("%.2f", o/e))
	}
	t.Log("pods made, medians of 3\n" + table.String())
}

// TestLife follows jobs from their creation to their end, and counts what the manager asks the API server for.
func TestLife(t *testing.T) {
	b := newBench(t)
	b.life(shape{10, 4})
	table := newTable("jobs x pods", "first pod p50", "p99", "all running p50", "p99", "writes for each job", "RSS", "CPU")
	for _, s := range append(slices.Clone(shapes), shape{100, 50}, shape{1000, 4}) {
		l := b.life(s)
		table.row(s, ms(l.first, 50), ms(l.first, 99), ms(l.running, 50), ms(l.running, 99),
			perJob(l.writes, s.jobs), fmt.Sprintf("%d MiB", b.manager.rss()>>20), l.cpu.Round(10*time.Millisecond))
		if total := l.total(); total > s.jobs*(s.pods+8) {
			t.Errorf("%v: %d writes, want at most %d for each job: %v", s, total/s.jobs, s.pods+8, l.writes)
		}
	}
	t.Log("jobs from creation to success\n" + table.String())
	if asked := b.idle(); len(asked) > 0 {
		t.Errorf("idle for %s the manager asked for %v", idleFor, asked)
	} else {
		t.Logf("requests while idle for %s, Lease and watches aside: 0", idleFor)
	}
}

// TestLatency measures single jobs on a manager that has nothing else to do.
func TestLatency(t *testing.T) {
	b := newBench(t)
	b.life(shape{10, 4})
	var first, running []time.Duration
	for range 100 {
		l := b.life(shape{1, 4})
		first, running = append(first, l.first...), append(running, l.running...)
	}
	t.Logf("one job of 4 pods on an idle manager, 100 times: first pod p50 %s p99 %s, all running p50 %s p99 %s",
		ms(first, 50), ms(first, 99), ms(running, 50), ms(running, 99))
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

func pods(rate float64) string { return fmt.Sprintf("%.0f pods/s", rate) }

// ms is a percentile.
func ms(durations []time.Duration, percent int) string {
	sorted := slices.Sorted(slices.Values(durations))
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)].Round(time.Millisecond).String()
}

func perJob(writes map[string]int, jobs int) string {
	var parts []string
	for verb, n := range writes {
		parts = append(parts, fmt.Sprintf("%.1f %s", float64(n)/float64(jobs), verb))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// table aligns columns.
type table struct {
	text  strings.Builder
	lines *tabwriter.Writer
}

func newTable(columns ...any) *table {
	t := &table{}
	t.lines = tabwriter.NewWriter(&t.text, 0, 8, 2, ' ', 0)
	t.row(columns...)
	return t
}

func (t *table) row(cells ...any) {
	for _, c := range cells {
		fmt.Fprintf(t.lines, "%v\t", c)
	}
	fmt.Fprintln(t.lines)
}

func (t *table) String() string {
	_ = t.lines.Flush() // writes to memory
	return t.text.String()
}
