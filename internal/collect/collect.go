// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package collect fetches the metrics of running trials: it follows the logs of their pods through the API server, scrapes their
// Prometheus endpoints, and takes what they push. Nothing runs in users' pods for it.
//
//	Trial controller ──Want──►  targets  ──►  one worker each: follow or scrape  ──►  sink ──►  store
//	       ▲                                                                            │
//	       └──── wake ◄──── Snapshot: curves, observations, drained ◄───────────────────┘
//
// A Collector is what the design calls facts from outside: a Runnable makes them, Observe reads a snapshot, and a source of events
// wakes the trial. They are fetched again after a restart: a log goes on from where the store has it, and what is read twice is kept
// once.
//
// +kubebuilder:rbac:groups="",resources=pods/log,verbs=get
package collect

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/utils/clock"

	"github.com/millrace-ml/millrace/internal/observe"
	"github.com/millrace-ml/millrace/internal/store"
)

// Store is what a Collector needs of a *store.Store.
type Store interface {
	AppendAll(context.Context, []store.Batch) error
	Mark(context.Context, store.Series, time.Time) error
	Resume(context.Context, store.Series) (time.Time, error)
	Observe(context.Context, store.Trial) ([]observe.Observation, error)
	Read(ctx context.Context, trial store.Trial, metric string, limit int) ([]observe.Sample, error)
}

// Options are the bounds of a Collector.
type Options struct {
	// Workers is how many logs are followed, and endpoints scraped, at the same time. Further ones wait for their turn.
	Workers int
	// Line is the longest line of a log in bytes; the rest of a longer one is passed over.
	Line int
	// Points is how many points of a curve a snapshot has; a longer curve is thinned.
	Points int
	// Flush is how long samples are gathered before they are written together.
	Flush time.Duration
	// Pace is how long a trial is left alone after it was woken.
	Pace time.Duration
	// Again is how long to wait before a log or a database is tried again, at first; it doubles up to 30 s.
	Again time.Duration
	// Refresh is how often what other managers were pushed is read from the store; zero for never.
	Refresh time.Duration
}

// DefaultOptions suit a manager.
func DefaultOptions() Options {
	return Options{
		Workers: 1000, Line: 64 << 10, Points: 512, Flush: time.Second, Pace: time.Second, Again: time.Second,
	}
}

// Collector fetches the metrics of trials. It is a Runnable of the leader; its other methods may be called at any time.
type Collector struct {
	opts  Options
	store Store
	logs  corev1.PodsGetter
	http  *http.Client
	clock clock.Clock
	log   logr.Logger

	*feed
	sink *sink
}

// New makes a Collector. Its client must not be throttled, and must have no timeout: a log is followed as long as its pod runs.
func New(s Store, logs corev1.PodsGetter, clk clock.Clock, log logr.Logger, opts Options) *Collector {
	c := &Collector{opts: opts, store: s, logs: logs, clock: clk, log: log, http: scraping(), feed: newFeed(opts)}
	c.sink = &sink{
		store: s, clock: clk, log: log, every: opts.Flush, items: make(chan item, 1024), taken: c.take, refused: c.fault,
		pending: map[store.Series]*pending{},
	}
	return c
}

// NeedLeaderElection makes it the leader's: two would do everything twice.
func (c *Collector) NeedLeaderElection() bool { return true }

// Start works until the context ends.
func (c *Collector) Start(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { c.sink.run(ctx) })
	if c.opts.Refresh > 0 {
		all.Go(func() { c.refresh(ctx) })
	}
	for {
		for _, w := range c.due(c.opts.Workers) {
			all.Go(func() { c.work(ctx, w) })
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.changed:
		}
	}
}

// work does what a target asks for, until it is drained or not wanted any more.
func (c *Collector) work(ctx context.Context, w *worker) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer c.done(w)
	go func() {
		select {
		case <-w.unwanted:
			cancel()
		case <-ctx.Done():
		}
	}()
	if !c.load(ctx, w) || !kinds[w.target().Kind](c, ctx, w) {
		return
	}
	// What the snapshot says of a trial that is over is what the store has: samples may have come twice, or by another manager.
	if c.load(ctx, w) {
		c.drain(w)
	}
}

// kinds are how targets are worked on. They return true when everything a target will ever tell is kept.
var kinds = map[Kind]func(*Collector, context.Context, *worker) bool{
	Log:    (*Collector).follow,
	Scrape: (*Collector).scrape,
	Push:   (*Collector).await,
}

// await waits for the end of a pod that pushes.
func (c *Collector) await(ctx context.Context, w *worker) bool {
	for !w.target().Ended {
		select {
		case <-ctx.Done():
			return false
		case <-w.news:
		}
	}
	return true
}

// load reads what is known of a trial; false when the context ended first.
func (c *Collector) load(ctx context.Context, w *worker) bool {
	return c.insist(ctx, "Reading the metrics of a trial failed", func() error { return c.reload(ctx, w.target().Trial) })
}

func (c *Collector) reload(ctx context.Context, trial store.Trial) error {
	observations, err := c.store.Observe(ctx, trial)
	if err != nil {
		return err
	}
	curves := map[string]*curve{}
	for _, o := range observations {
		samples, err := c.store.Read(ctx, trial, o.Metric, c.opts.Points)
		if err != nil {
			return err
		}
		curves[o.Metric] = &curve{Observation: o, points: samples}
	}
	c.loaded(trial, curves)
	return nil
}

// renew reads a trial again when it has other counts than are known.
func (c *Collector) renew(ctx context.Context, trial store.Trial) error {
	observations, err := c.store.Observe(ctx, trial)
	if err != nil || !c.differs(trial, observations) {
		return err
	}
	return c.reload(ctx, trial)
}

// longest is the longest wait between tries.
const longest = 30 * time.Second

// insist calls f until it succeeds; false when the context ended first.
func (c *Collector) insist(ctx context.Context, failed string, f func() error) bool {
	for wait := c.opts.Again; ; wait = min(2*wait, longest) {
		err := f()
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		c.log.Error(err, failed)
		if !c.pause(ctx, wait, nil) {
			return false
		}
	}
}

// pause waits for a while or for news; false when the context ended.
func (c *Collector) pause(ctx context.Context, wait time.Duration, news <-chan struct{}) bool {
	timer := c.clock.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
	case <-news:
	}
	return true
}

// Accept keeps what a trial pushed. It returns when it is stored. The errors store.ErrInvalid and store.ErrTooMany are of who pushed.
func (c *Collector) Accept(ctx context.Context, series store.Series, samples []observe.Sample) error {
	err := c.store.AppendAll(ctx, []store.Batch{{Series: series, Samples: samples}})
	if err == nil {
		c.take(series, samples)
	}
	return err
}

// refresh reads trials that push again and again, because another manager may have been pushed to.
func (c *Collector) refresh(ctx context.Context) {
	for c.pause(ctx, c.opts.Refresh, nil) {
		for _, trial := range c.pushing() {
			if err := c.renew(ctx, trial); err != nil && !errors.Is(err, context.Canceled) {
				c.log.Error(err, "Reading what was pushed failed", "namespace", trial.Namespace, "trial", trial.Name)
				break
			}
		}
	}
}
