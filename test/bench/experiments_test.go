// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// The searches of the bench: one after the other, and many with many trials each at once.
const (
	single   = 100
	searches = 100
	each     = 30
)

// searchJob is the least that a batch Job is.
const searchJob = `{"apiVersion": "batch/v1", "kind": "Job", "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never",
  "containers": [{"name": "main", "image": "registry.example.com/main:1", "args": ["${trialParameters.x}"]}]}}}}`

// TestExperiments times how long a search takes to its first trial on an idle manager, and how long many take to all the trials and Jobs
// that they run at once.
func TestExperiments(t *testing.T) {
	b := newBench(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ns := b.server.Namespace(t)
	var trials, jobs moments
	b.watch(ctx, ns, &v1alpha1.Trial{}, func(o client.Object) { trials.see(o.GetLabels()[names.Experiment] + "/" + o.GetName()) })
	b.watch(ctx, ns, &batchv1.Job{}, func(o client.Object) { jobs.see(o.GetName()) })

	b.settle(3) // the manager has started
	first := make([]time.Duration, 0, single)
	for i := range single {
		began, seen := time.Now(), trials.count()
		if err := b.admin.Create(ctx, experimentOf(ns, fmt.Sprintf("one-%d", i), 1)); err != nil {
			t.Fatal(err)
		}
		b.until(func() bool { return trials.count() > seen })
		first = append(first, time.Since(began))
	}
	t.Logf("from an Experiment to its first Trial, %d times on an idle manager: p50 %s p99 %s", single, ms(first, 50), ms(first, 99))

	end := b.settle(3)
	already, cpu, began := jobs.count(), b.manager.cpu(), time.Now()
	b.parallel(searches, func(ctx context.Context, i int) error {
		return b.admin.Create(ctx, experimentOf(ns, fmt.Sprintf("many-%d", i), each))
	})
	b.until(func() bool { return jobs.count() == already+searches*each })
	took := time.Since(began)
	cpu = b.manager.cpu() - cpu
	b.settle(3)
	asked, _ := b.asked(end)
	table := newTable("Experiments", "trials each", "all Jobs made after", "Jobs/s", "requests for a trial", "CPU of the manager", "RSS")
	table.row(searches, each, took.Round(10*time.Millisecond), fmt.Sprintf("%.0f", searches*each/took.Seconds()),
		perJob(writesOf(asked), searches*each), cpu.Round(10*time.Millisecond), fmt.Sprintf("%d MiB", b.manager.rss()>>20))
	t.Log("searches with batch Jobs, all at once\n" + table.String())
	if asked := b.idle(); len(asked) > 0 {
		t.Errorf("idle for %s beside %d running trials the manager asked for %v", idleFor, searches*each, asked)
	}
}

// experimentOf is a search that runs so many trials at once.
func experimentOf(ns, name string, parallel int32) *v1alpha1.Experiment {
	e := &v1alpha1.Experiment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
	e.Spec = v1alpha1.ExperimentSpec{
		Objectives: []v1alpha1.Objective{{Metric: "loss", Direction: v1alpha1.Minimize}}, Algorithm: v1alpha1.Algorithm{Name: "TPE"},
		ParallelTrials: parallel, MaxTrials: parallel,
		Parameters:    []v1alpha1.Parameter{{Name: "x", Type: v1alpha1.ParameterDouble, Min: "0", Max: "1"}},
		TrialTemplate: v1alpha1.TrialTemplate{Job: &runtime.RawExtension{Raw: []byte(searchJob)}},
	}
	return e
}
