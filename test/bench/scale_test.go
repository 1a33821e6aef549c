// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// finishedJobs are in the cluster while new ones run.
const finishedJobs = 5000

// TestFinishedJobsCostNothing runs jobs in an empty cluster, and again beside thousands that have finished.
func TestFinishedJobsCostNothing(t *testing.T) {
	b := newBench(t)
	b.life(shape{10, 4})
	table := newTable("finished jobs", "new jobs x pods", "first pod p50", "p99", "all running p50", "p99", "writes for each job", "RSS", "CPU")
	row := func(finished int, s shape) {
		l := b.life(s)
		table.row(finished, s, ms(l.first, 50), ms(l.first, 99), ms(l.running, 50), ms(l.running, 99),
			perJob(l.writes, s.jobs), fmt.Sprintf("%d MiB", b.manager.rss()>>20), l.cpu.Round(10*time.Millisecond))
	}
	row(0, shape{200, 4})
	b.replaceManager(func() { b.finished(finishedJobs) })
	b.life(shape{10, 4}) // until it has seen all there is
	row(finishedJobs, shape{200, 4})
	row(finishedJobs, shape{1000, 4})
	t.Log("new jobs beside finished ones\n" + table.String())
	if asked := b.idle(); len(asked) > 0 {
		t.Errorf("idle for %s beside %d finished jobs the manager asked for %v", idleFor, finishedJobs, asked)
	}
}

// finished makes jobs that ended long ago.
func (b *bench) finished(n int) {
	b.t.Helper()
	ns := b.server.Namespace(b.t)
	b.parallel(n, func(ctx context.Context, i int) error {
		j := job(ns, i, 4)
		if err := b.admin.Create(ctx, j); err != nil {
			return err
		}
		before := j.DeepCopy()
		j.Status.ObservedGeneration, j.Status.Phase, j.Status.CompletionTime = j.Generation, v1alpha1.PhaseSucceeded, new(metav1.Now())
		for k := range j.Status.Conditions {
			c := &j.Status.Conditions[k]
			c.LastTransitionTime, c.Reason, c.Message, c.ObservedGeneration = metav1.Now(), v1alpha1.ReasonFinished, "Ended.", j.Generation
			if c.Status = metav1.ConditionFalse; c.Type == v1alpha1.ConditionSucceeded {
				c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonTrainingSucceeded
			}
		}
		return b.admin.Status().Patch(ctx, j, client.MergeFrom(before))
	})
}

// TestFailureStorm fails a fifth of all pods at once, and times until all run again.
func TestFailureStorm(t *testing.T) {
	b := newBench(t)
	b.life(shape{10, 4})
	table := newTable("jobs x pods", "pods failed", "all replaced and running after", "pods/s", "writes for each job")
	for _, s := range []shape{{250, 4}, {20, 50}} {
		var storm storm
		l := b.eventful(s, func(ns string) { storm = b.storm(ns) })
		table.row(s, storm.failed, storm.took.Round(10*time.Millisecond), pods(float64(storm.failed)/storm.took.Seconds()), perJob(l.writes, s.jobs))
	}
	t.Log("a fifth of all pods fail once\n" + table.String())
}

type storm struct {
	failed int
	took   time.Duration
}

// storm fails every fifth pod of a namespace and waits until those that replace them run.
func (b *bench) storm(ns string) storm {
	b.t.Helper()
	ctx, stop := context.WithCancel(b.t.Context())
	defer stop()
	list := &corev1.PodList{}
	if err := b.admin.List(ctx, list, client.InNamespace(ns)); err != nil {
		b.t.Fatal(err)
	}
	var victims []corev1.Pod
	for i, p := range list.Items {
		if i%5 == 0 {
			victims = append(victims, p)
		}
	}
	var mu sync.Mutex
	again := map[string]bool{}
	b.watch(ctx, ns, &corev1.Pod{}, func(o client.Object) {
		if p := o.(*corev1.Pod); p.Status.Phase == corev1.PodRunning && p.Labels[names.Attempt] == "1" {
			mu.Lock()
			defer mu.Unlock()
			again[p.Name] = true
		}
	})
	began := time.Now()
	b.parallel(len(victims), func(ctx context.Context, i int) error {
		end := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, FinishedAt: metav1.Now()}}
		return b.say(ctx, &victims[i], corev1.PodFailed, end)
	})
	b.until(func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(again) == len(victims)
	})
	return storm{failed: len(victims), took: time.Since(began)}
}
