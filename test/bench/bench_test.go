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

	corev1 "k8s.io/api/core/v1"

	"github.com/millrace-ml/millrace/internal/envtest"
)

// repetitions of each measurement, of which the median is printed.
const repetitions = 5

// shape is a number of jobs and the pods of each.
type shape struct{ jobs, pods int }

func (s shape) String() string { return fmt.Sprintf("%d x %d", s.jobs, s.pods) }

var shapes = []shape{{250, 4}, {1, 500}}

func TestMain(m *testing.M) { os.Exit(envtest.Main(m)) }

// ways to come to the pods of jobs. The plain client makes the same pods, and in the last way the job and the Service that belong to them
// before: these somebody has to write, whoever makes the pods.
var ways = []struct {
	name string
	make func(*bench, shape, []corev1.Pod) rated
}{
	{"plain client", func(b *bench, _ shape, like []corev1.Pod) rated { return b.plain(like) }},
	{"manager", func(b *bench, s shape, _ []corev1.Pod) rated { return b.rate(s, false) }},
	{"manager, jobs exist first", func(b *bench, s shape, _ []corev1.Pod) rated { return b.rate(s, true) }},
	{"plain client, same objects", func(b *bench, s shape, like []corev1.Pod) rated { return b.same(s, like) }},
}

// TestRate compares pods made by the manager with the same pods made by a plain client. The machine's speed wanders by half within minutes,
// so a ratio is that of two runs one after the other, and the processor time a pod takes is printed beside it.
func TestRate(t *testing.T) {
	b := newBench(t)
	b.rate(shape{20, 4}, false) // the first requests of a kind pay for everybody's
	table := newTable("jobs x pods", "by", "pods made", "ratio", "CPU for each pod: API server", "etcd", "manager", "client")
	for _, s := range shapes {
		like := b.rate(s, false).pods
		runs := make([][]rated, len(ways))
		for range repetitions {
			for i, w := range ways {
				runs[i] = append(runs[i], w.make(b, s, like))
			}
		}
		for i, w := range ways {
			var ratios []float64
			for n, r := range runs[i] {
				ratios = append(ratios, r.rate/runs[0][n].rate)
			}
			cpu := func(of int) string {
				return fmt.Sprintf("%.2f ms", middle(runs[i], func(r rated) float64 { return r.cpu[of] }))
			}
			ratio := fmt.Sprintf("%.2f (%.2f to %.2f)", median(ratios), slices.Min(ratios), slices.Max(ratios))
			table.row(s, w.name, pods(middle(runs[i], func(r rated) float64 { return r.rate })), ratio, cpu(0), cpu(1), cpu(2), cpu(3))
		}
	}
	t.Logf("pods made, medians of %d\n%s", repetitions, table)
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
