// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/millrace-ml/millrace/internal/observe"
	"github.com/millrace-ml/millrace/internal/store"
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// feed is what is wanted and what is known, by trial.
type feed struct {
	points int
	pace   time.Duration
	// changed has an element when there may be workers to start.
	changed chan struct{}

	mu     sync.Mutex
	trials map[types.NamespacedName]*trial
	began  int
	busy   int
	queues []queue
}

// trial is one trial's part of a feed.
type trial struct {
	key     store.Trial
	known   bool
	workers map[string]*worker
	curves  map[string]*curve
	// last is the last sample of a source and metric: what comes again after a log was opened anew is not drawn twice.
	last  map[[2]string]observe.Sample
	fault string
}

// worker works on one target.
type worker struct {
	feed  *feed
	order int
	// unwanted is closed when the target is not wanted any more.
	unwanted chan struct{}
	// news has an element when the target changed.
	news chan struct{}

	// The feed's lock guards these.
	now              Target
	started, drained bool
}

func (w *worker) target() Target {
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	return w.now
}

func newFeed(opts Options) *feed {
	return &feed{points: opts.Points, pace: opts.Pace, changed: make(chan struct{}, 1), trials: map[types.NamespacedName]*trial{}}
}

func name(t store.Trial) types.NamespacedName {
	return types.NamespacedName{Namespace: t.Namespace, Name: t.Name}
}

// Want says which targets a trial has, all of them, every time. Work on those it does not have any more ends. A trial that is over
// wants none.
func (f *feed) Want(key store.Trial, targets ...Target) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.trials[name(key)]
	if t != nil && t.key.UID != key.UID {
		f.forget(t)
		t = nil
	}
	if t == nil {
		t = &trial{key: key, workers: map[string]*worker{}, curves: map[string]*curve{}, last: map[[2]string]observe.Sample{}}
		f.trials[name(key)] = t
	}
	wanted := map[string]bool{}
	for _, target := range targets {
		target.Trial = key
		wanted[target.source()] = true
		f.want(t, target)
	}
	for source, w := range t.workers {
		if !wanted[source] {
			close(w.unwanted)
			delete(t.workers, source)
		}
	}
	f.look()
}

func (f *feed) want(t *trial, target Target) {
	w := t.workers[target.source()]
	if w == nil {
		f.began++
		t.workers[target.source()] = &worker{
			feed: f, order: f.began, now: target, unwanted: make(chan struct{}), news: make(chan struct{}, 1),
		}
		return
	}
	if !w.now.same(target) {
		w.now = target
		signal(w.news)
	}
}

// Forget drops a trial that is gone.
func (f *feed) Forget(of types.NamespacedName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.trials[of]; t != nil {
		f.forget(t)
	}
}

func (f *feed) forget(t *trial) {
	for _, w := range t.workers {
		close(w.unwanted)
	}
	delete(f.trials, name(t.key))
}

// look makes Start look for workers to start.
func (f *feed) look() { signal(f.changed) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// due are the workers to start now, the longest waiting first, so that there are no more than so many.
func (f *feed) due(most int) []*worker {
	f.mu.Lock()
	defer f.mu.Unlock()
	var due []*worker
	for _, t := range f.trials {
		for _, w := range t.workers {
			if !w.started {
				due = append(due, w)
			}
		}
	}
	slices.SortFunc(due, func(a, b *worker) int { return cmp.Compare(a.order, b.order) })
	// Who only waits for a push costs nothing and has its place always.
	room := max(0, most-f.busy)
	due = slices.DeleteFunc(due, func(w *worker) bool {
		if w.now.Kind == Push {
			return false
		}
		room--
		return room < 0
	})
	for _, w := range due {
		w.started = true
		f.busy += cost(w)
	}
	return due
}

func cost(w *worker) int {
	if w.now.Kind == Push {
		return 0
	}
	return 1
}

// done gives the place of a worker to the next.
func (f *feed) done(w *worker) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy -= cost(w)
	f.look()
}

// drain records that a target was read to its end.
func (f *feed) drain(w *worker) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.drained = true
	f.wake(w.now.Trial)
}

// loaded replaces the curves of a trial.
func (f *feed) loaded(key store.Trial, curves map[string]*curve) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.trials[name(key)]
	if t == nil || t.key.UID != key.UID {
		return
	}
	news := !t.known
	for metric, c := range curves {
		old := t.curves[metric]
		news = news || old == nil || old.Count != c.Count
	}
	t.known, t.curves = true, curves
	// What was stored after the store was read is not in it.
	for of, s := range t.last {
		if c := curves[of[1]]; c != nil && s.At.After(c.LatestAt) {
			c.add(s, f.points)
		}
	}
	if news {
		f.wake(key)
	}
}

// differs says whether observations have other counts than are known.
func (f *feed) differs(key store.Trial, observations []observe.Observation) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.trials[name(key)]
	return t != nil && slices.ContainsFunc(observations, func(o observe.Observation) bool {
		return t.curves[o.Metric] == nil || t.curves[o.Metric].Count != o.Count
	})
}

// take adds samples that were stored.
func (f *feed) take(series store.Series, samples []observe.Sample) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.trials[name(series.Trial)]
	if t == nil || t.key.UID != series.Trial.UID || len(samples) == 0 {
		return
	}
	for _, s := range samples {
		of := [2]string{series.Source, s.Metric}
		if last, again := t.last[of]; again && !later(s, last) {
			continue
		}
		t.last[of] = s
		if t.curves[s.Metric] == nil {
			t.curves[s.Metric] = &curve{Observation: observe.Nothing(s.Metric)}
		}
		t.curves[s.Metric].add(s, f.points)
	}
	f.wake(series.Trial)
}

func later(s, than observe.Sample) bool {
	return s.At.After(than.At) || s.At.Equal(than.At) && s.Seq > than.Seq
}

// fault records why a value could not be read or kept.
func (f *feed) fault(of store.Trial, why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.trials[name(of)]
	if t == nil || t.key.UID != of.UID || t.fault == why {
		return
	}
	first := t.fault == ""
	t.fault = why
	if first {
		f.wake(of)
	}
}

// Snapshot is what is known of a trial.
func (f *feed) Snapshot(key store.Trial) Snapshot {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.trials[name(key)]
	if t == nil || t.key.UID != key.UID {
		return Snapshot{}
	}
	s := Snapshot{Known: t.known, Curves: map[string]Curve{}, Drained: t.known && len(t.workers) > 0, Fault: t.fault}
	for metric, c := range t.curves {
		s.Curves[metric] = c.drawn()
	}
	for _, w := range t.workers {
		s.Drained = s.Drained && w.drained
	}
	return s
}

// pushing are the trials that push.
func (f *feed) pushing() []store.Trial {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []store.Trial
	for _, t := range f.trials {
		if slices.ContainsFunc(slices.Collect(maps.Values(t.workers)), func(w *worker) bool { return w.now.Kind == Push && !w.drained }) {
			all = append(all, t.key)
		}
	}
	return all
}

// Source wakes trials of which there is news, each once for all news of Options.Pace. Add it to their controller.
func (f *feed) Source() source.Source {
	return source.Func(func(_ context.Context, q queue) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.queues = append(f.queues, q)
		return nil
	})
}

func (f *feed) wake(t store.Trial) {
	for _, q := range f.queues {
		q.AddAfter(reconcile.Request{NamespacedName: name(t)}, f.pace)
	}
}
