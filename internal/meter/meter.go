// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package meter measures trials: it tells the collector of metrics which pods to read, and the controllers what is known. It is
// what stands between the two, so that neither has to know the other.
package meter

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/millrace-ml/millrace/internal/collect"
	"github.com/millrace-ml/millrace/internal/observe"
	"github.com/millrace-ml/millrace/internal/store"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

// Collector is what a Meter needs of a *collect.Collector.
type Collector interface {
	Want(store.Trial, ...collect.Target)
	Snapshot(store.Trial) collect.Snapshot
	Forget(types.NamespacedName)
	Source() source.Source
}

// Meter is a trialjob.Meter.
type Meter struct {
	collector Collector

	mu     sync.Mutex
	trials map[types.UID]followed
	uids   map[types.NamespacedName]types.UID
}

// followed is a trial that is measured.
type followed struct {
	key        store.Trial
	experiment string
	// whole is true when every pod that there will be is there and has ended.
	whole bool
}

var _ trialjob.Meter = &Meter{}

// New returns a Meter over a collector.
func New(c Collector) *Meter {
	return &Meter{collector: c, trials: map[types.UID]followed{}, uids: map[types.NamespacedName]types.UID{}}
}

// Follow implements trialjob.Meter.
func (m *Meter) Follow(t trialjob.Target) {
	key := store.Trial{Namespace: t.Trial.Namespace, Name: t.Trial.Name, UID: string(t.UID)}
	targets := targetsOf(t)
	whole := t.Ended && len(targets) > 0
	for _, one := range targets {
		whole = whole && one.Ended
	}
	m.mu.Lock()
	if before := m.uids[t.Trial]; before != t.UID {
		delete(m.trials, before) // the trial was made anew under its name
	}
	m.trials[t.UID] = followed{key, t.Experiment, whole}
	m.uids[t.Trial] = t.UID
	m.mu.Unlock()
	m.collector.Want(key, targets...)
}

// Measured implements trialjob.Meter.
func (m *Meter) Measured(uid types.UID) (trialjob.Measured, bool) {
	m.mu.Lock()
	f, known := m.trials[uid]
	m.mu.Unlock()
	if !known {
		return trialjob.Measured{}, false
	}
	snapshot := m.collector.Snapshot(f.key)
	if !snapshot.Known {
		return trialjob.Measured{}, false
	}
	measured := trialjob.Measured{Series: map[string]trialjob.Series{}, Drained: snapshot.Drained && f.whole, Problem: snapshot.Fault}
	for name, c := range snapshot.Curves {
		if c.Count > 0 {
			measured.Series[name] = seriesOf(c)
		}
	}
	return measured, true
}

// seriesOf is a curve as controllers see it. Values that were told without a step are counted.
func seriesOf(c collect.Curve) trialjob.Series {
	s := trialjob.Series{Min: c.Min, Max: c.Max, Latest: c.Latest}
	each := float64(c.Count) / float64(max(len(c.Points), 1))
	for i, p := range c.Points {
		step := float64(p.Step)
		if p.Step == observe.NoStep {
			step = float64(i+1) * each
		}
		s.Curve = append(s.Curve, trialjob.Point{Step: step, Value: p.Value})
	}
	return s
}

// Forget implements trialjob.Meter.
func (m *Meter) Forget(trial types.NamespacedName) {
	m.mu.Lock()
	uid, known := m.uids[trial]
	delete(m.trials, uid)
	delete(m.uids, trial)
	m.mu.Unlock()
	if known {
		m.collector.Forget(trial)
	}
}

// Trials wakes the trials of which there is news, Experiments the experiments of such trials.
func (m *Meter) Trials() source.Source { return m.collector.Source() }

// Experiments is the source of events for experiments.
func (m *Meter) Experiments() source.Source {
	return source.Func(func(ctx context.Context, q queue) error { return m.collector.Source().Start(ctx, &ofExperiments{q, m}) })
}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// ofExperiments is a queue of trials that wakes their experiments.
type ofExperiments struct {
	queue
	meter *Meter
}

// AddAfter implements workqueue.TypedDelayingInterface, by which collectors gather news.
func (o *ofExperiments) AddAfter(trial reconcile.Request, wait time.Duration) {
	o.meter.mu.Lock()
	of := o.meter.trials[o.meter.uids[trial.NamespacedName]].experiment
	o.meter.mu.Unlock()
	if of != "" {
		o.queue.AddAfter(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: trial.Namespace, Name: of}}, wait)
	}
}
