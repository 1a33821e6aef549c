// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package proposer runs searches beside the controllers. A proposal can take a second, and a controller that waits for it
// would keep other objects waiting. It is asked, answers when it has an answer, and wakes who asked. It remembers nothing that
// could not be worked out again.
package proposer

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/millrace-ml/millrace/internal/study"
	"github.com/millrace-ml/millrace/internal/suggest"
)

// Query is a question. Two of the same ID have the same answer.
type Query struct {
	ID string
	// Of is the search: an answer to a question of another one is none.
	Of string
	// From is the number of trials there are: an answer with proposals from there on is one whatever has ended since.
	From int
	// Run works the answer out. It looks at cancelled now and then.
	Run func(cancelled func() bool) study.Result
}

// Proposer answers questions.
type Proposer interface {
	// Ask returns the answer, or false when it is being worked out: whoever asked is woken then.
	Ask(who types.NamespacedName, q Query) (study.Result, bool)
	// Forget drops the question of somebody, and ends the work on it.
	Forget(who types.NamespacedName)
}

// AtOnce answers while it is asked. It is for plans on paper and for tests.
type AtOnce struct{}

// Ask implements Proposer.
func (AtOnce) Ask(_ types.NamespacedName, q Query) (study.Result, bool) {
	return q.Run(func() bool { return false }), true
}

// Forget implements Proposer.
func (AtOnce) Forget(types.NamespacedName) {}

// Pool answers with a bounded number of workers.
type Pool struct {
	workers int
	work    workqueue.TypedInterface[types.NamespacedName]

	mu     sync.Mutex
	asked  map[types.NamespacedName]*task
	queues []workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// task is a question, and its answer when it has one.
type task struct {
	query  Query
	answer *study.Result
	// cancelled is closed when nobody wants the answer any more.
	cancelled chan struct{}
}

// NewPool returns a pool that works once it is started.
func NewPool(workers int) *Pool {
	return &Pool{workers: workers, work: workqueue.NewTyped[types.NamespacedName](), asked: map[types.NamespacedName]*task{}}
}

// NeedLeaderElection is true: who does not lead asks nothing.
func (p *Pool) NeedLeaderElection() bool { return true }

// Start works until the context ends.
func (p *Pool) Start(ctx context.Context) error {
	var all sync.WaitGroup
	for range p.workers {
		all.Go(func() {
			for p.one() {
			}
		})
	}
	<-ctx.Done()
	p.work.ShutDown()
	p.mu.Lock()
	for who := range p.asked {
		p.drop(who)
	}
	p.mu.Unlock()
	all.Wait()
	return nil
}

// one answers one question; false when there will be no more.
func (p *Pool) one() bool {
	who, over := p.work.Get()
	if over {
		return false
	}
	defer p.work.Done(who)
	p.mu.Lock()
	t := p.asked[who]
	p.mu.Unlock()
	if t == nil || t.answer != nil {
		return true
	}
	answer := t.run()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked[who] != t {
		return true
	}
	t.answer = &answer
	for _, q := range p.queues {
		q.Add(reconcile.Request{NamespacedName: who})
	}
	return true
}

// run works the answer out. A panic is a fault of ours, which must cost one search its progress and not the manager its life.
func (t *task) run() (answer study.Result) {
	defer func() {
		if cause := recover(); cause != nil {
			log.Log.Error(fmt.Errorf("a search panicked: %v", cause), "A fault in Millrace", "search", t.query.Of, "stack", string(debug.Stack()))
			message := fmt.Sprintf("working proposals out failed, by a fault of Millrace's own: %v; please report it with the manager's log", cause)
			answer = study.Result{From: t.query.From, Faults: []suggest.Fault{{Path: "algorithm", Message: message}}}
		}
	}()
	return t.query.Run(t.isCancelled)
}

func (t *task) isCancelled() bool {
	select {
	case <-t.cancelled:
		return true
	default:
		return false
	}
}

// Ask implements Proposer. Work on an older question is not thrown away for a newer one: results come in all the time, and there would
// never be an answer.
func (p *Pool) Ask(who types.NamespacedName, q Query) (study.Result, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.asked[who]
	if t != nil && t.query.Of != q.Of {
		p.drop(who)
		t = nil
	}
	if t != nil && t.answer == nil {
		return study.Result{}, false
	}
	if t != nil && (t.query.ID == q.ID || t.answer.From == q.From && len(t.answer.Found) > 0) {
		return *t.answer, true
	}
	p.asked[who] = &task{query: q, cancelled: make(chan struct{})}
	p.work.Add(who)
	return study.Result{}, false
}

// Forget implements Proposer.
func (p *Pool) Forget(who types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(who)
}

func (p *Pool) drop(who types.NamespacedName) {
	if t := p.asked[who]; t != nil {
		close(t.cancelled)
		delete(p.asked, who)
	}
}

// Source wakes who asked; give it to WatchesRawSource.
func (p *Pool) Source() source.Source {
	return source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.queues = append(p.queues, q)
		return nil
	})
}
