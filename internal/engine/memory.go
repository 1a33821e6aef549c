// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// memory is what is remembered of one object between passes. It saves requests and decides nothing: all of it may be lost.
// One object is never worked on by two passes at once, but the creates of one pass run in parallel.
type memory struct {
	uid types.UID

	mu       sync.Mutex
	children map[childKey]seen
	beat     beat
	// refusals counts the passes in a row that met a refusal.
	refusals int
	// conflicts counts the passes in a row that met a conflict.
	conflicts int
}

func (m *memory) recall(key childKey) (seen, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.children[key]
	return s, ok
}

func (m *memory) remember(key childKey, s seen) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.children == nil {
		m.children = map[childKey]seen{}
	}
	m.children[key] = s
}

// keep drops what is remembered of children that are in no plan any more.
func (m *memory) keep(wanted map[childKey]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.children {
		if !wanted[key] {
			delete(m.children, key)
		}
	}
}

// memories are the memories of all objects of a kind, by name: the name is all that is known of an object that is gone.
type memories struct {
	mu sync.Mutex
	of map[types.NamespacedName]*memory
}

func newMemories() *memories { return &memories{of: map[types.NamespacedName]*memory{}} }

// get returns the memory of an object; an object that took the name of another starts with none.
func (m *memories) get(o metav1.Object) *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
	known, ok := m.of[name]
	if !ok || known.uid != o.GetUID() {
		known = &memory{uid: o.GetUID()}
		m.of[name] = known
	}
	return known
}

func (m *memories) drop(name types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.of, name)
}

func (m *memories) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.of)
}

// The wait after a conflict: the newer version is on its way to the cache, but the watch that brings it may be slow.
const (
	firstConflict = 50 * time.Millisecond
	lastConflict  = 5 * time.Second
)

// conflicted returns how long to wait after one more conflict in a row.
func (m *memory) conflicted() time.Duration {
	wait := min(firstConflict<<min(m.conflicts, 10), lastConflict)
	m.conflicts++
	return wait
}

// refused returns how long to wait after a pass that met refusals, or zero after one that met none. What only a change by somebody
// can help, and who may never come, is asked for less and less often.
func (m *memory) refused(refusals []Refusal) time.Duration {
	if len(refusals) == 0 {
		m.refusals = 0
		return 0
	}
	passing := func(r Refusal) bool { return r.Cause != Taken && r.Cause != Invalid }
	if slices.ContainsFunc(refusals, passing) {
		m.refusals = 0
		return refusedAgain
	}
	wait := min(refusedAgain<<min(m.refusals, 10), refusedMax)
	m.refusals++
	return wait
}

// The pace of status writes that may wait: the first is stored opening after the object was first seen, the second
// firstPause after that, each further one after twice as long, so that a job of N pods that start one by one costs
// O(log N) writes and not N. A change after a long calm is stored at once.
const (
	opening    = 2 * time.Second
	firstPause = 5 * time.Second
	lastPause  = 80 * time.Second
	// briefly is the longest wait of a change that is in a hurry.
	briefly = time.Second
)

// beat is when an object was first seen or its status last written, and how long the next patient change waits.
type beat struct {
	at    time.Time
	pause time.Duration
}

// seen is the beat of an object that is looked at. Most objects have got further than their first status by the time it
// would be stored: then it is never written.
func (b beat) seen(now time.Time) beat {
	if b.at.IsZero() {
		return beat{at: now, pause: opening}
	}
	return b
}

// wait is how long a change still has to wait.
func (b beat) wait(now time.Time, patient, hurry bool) time.Duration {
	if !patient {
		return 0
	}
	pause := b.pause
	if hurry {
		pause = min(pause, briefly)
	}
	return max(0, b.at.Add(pause).Sub(now))
}

// wrote is the beat after a write.
func (b beat) wrote(now time.Time, patient bool) beat {
	calm := now.Sub(b.at) > 2*lastPause
	switch {
	case calm || b.pause == opening:
		b.pause = firstPause
	case patient:
		b.pause = min(2*b.pause, lastPause)
	}
	b.at = now
	return b
}
