// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Snapshot holds facts from outside the API server, such as probes and metrics, by what they are facts of. A Runnable
// fetches them and Sets them; Observe Gets them. They are memory only: after a restart they are fetched again.
// Values are shared between readers, so one that was Set must not be changed.
type Snapshot[K comparable, V any] struct {
	wakes  func(K) reconcile.Request
	mu     sync.RWMutex
	facts  map[K]V
	queues []workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// NewSnapshot returns an empty snapshot; wakes names the object whose plan depends on a fact.
func NewSnapshot[K comparable, V any](wakes func(K) reconcile.Request) *Snapshot[K, V] {
	return &Snapshot[K, V]{wakes: wakes, facts: map[K]V{}}
}

// Get returns a fact; false means that it is not known.
func (s *Snapshot[K, V]) Get(key K) (V, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	fact, known := s.facts[key]
	return fact, known
}

// Set stores a fact and wakes its object when the fact is news.
func (s *Snapshot[K, V]) Set(key K, fact V) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, known := s.facts[key]
	if known && equality.Semantic.DeepEqual(old, fact) {
		return
	}
	s.facts[key] = fact
	s.wake(key)
}

// Unset takes a fact back that could not be fetched again, and wakes its object: unknown must never look like an old truth.
func (s *Snapshot[K, V]) Unset(key K) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.facts[key]; !known {
		return
	}
	delete(s.facts, key)
	s.wake(key)
}

// Forget drops the facts of objects that are gone, without waking anybody.
func (s *Snapshot[K, V]) Forget(of func(K) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.facts {
		if of(key) {
			delete(s.facts, key)
		}
	}
}

func (s *Snapshot[K, V]) wake(key K) {
	for _, q := range s.queues {
		q.Add(s.wakes(key))
	}
}

// Source wakes objects of a controller when facts change; give it to WatchesRawSource. It adds to the queue itself, so
// that a Runnable never waits for a controller.
func (s *Snapshot[K, V]) Source() source.Source {
	return source.Func(func(_ context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.queues = append(s.queues, q)
		return nil
	})
}
