// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package faulty runs a controller through every fault between any two of its writes. For each write of a life it fails
// the write, or loses its answer, or kills the manager before or after it and starts another on a cache that lags
// behind. Each such life must end in the state of the life without faults, and must have created each object as often.
//
// The API server is a fake in memory, so that thousands of lives take seconds.
package faulty

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Pass is one pass of the controller over the object of the scenario.
type Pass func(context.Context) (ctrl.Result, error)

// Scenario is one life to be run with all faults.
type Scenario struct {
	Scheme *runtime.Scheme
	// Kinds lists an empty list of every kind that is read or written.
	Kinds []client.ObjectList
	// Indexes are the fields that lists are selected by.
	Indexes map[string]client.IndexerFunc
	// Objects are there at the start. Those whose status is written have a status subresource.
	Objects []client.Object
	// Start starts a manager that remembers nothing. It reads from the first client's cache, and from the reader live.
	Start func(client.Client, client.Reader, clock.PassiveClock) Pass
	// Others does what others in the cluster would do next, such as the kubelet, and tells whether it did anything. It must settle.
	Others func(context.Context, client.Client) (bool, error)
}

// fault is what goes wrong at one write of a life; none at write 0.
type fault struct {
	write int
	// after is true when the write happens and its answer is lost.
	after bool
	// kill is true when the manager dies of it, and false when it sees an error.
	kill bool
	// lag is how many writes the next manager's cache is behind.
	lag int
}

func (f fault) String() string {
	if f.write == 0 {
		return "no fault"
	}
	what, when := "failed", "before"
	if f.kill {
		what = "killed"
	}
	if f.after {
		when = "after"
	}
	return fmt.Sprintf("%s %s write %d, cache %d writes behind", what, when, f.write, f.lag)
}

// result is what a life leaves behind.
type result struct {
	Objects map[string]any
	Created map[string]int
	writes  []string
}

// Run runs the scenario without faults, and then with every fault at every write.
func Run(t *testing.T, s Scenario) {
	t.Helper()
	want := s.live(t, fault{})
	if len(want.writes) == 0 {
		t.Fatal("the scenario writes nothing")
	}
	t.Logf("%d writes: %s", len(want.writes), strings.Join(want.writes, ", "))
	for write := range len(want.writes) {
		for _, f := range faultsAt(write + 1) {
			got := s.live(t, f)
			if diff := cmp.Diff(want.Objects, got.Objects); diff != "" {
				t.Errorf("%v: the end differs (-without fault +with):\n%s\nwrites: %s", f, diff, strings.Join(got.writes, ", "))
			}
			if diff := cmp.Diff(want.Created, got.Created); diff != "" {
				t.Errorf("%v: created (-without fault +with):\n%s\nwrites: %s", f, diff, strings.Join(got.writes, ", "))
			}
		}
	}
}

func faultsAt(write int) []fault {
	var faults []fault
	for _, after := range []bool{false, true} {
		faults = append(faults, fault{write: write, after: after})
		for _, lag := range []int{0, 1, 2, 5} {
			faults = append(faults, fault{write: write, after: after, kill: true, lag: lag})
		}
	}
	return faults
}

// longest is how many passes a life may take.
const longest = 500

// live plays one life to its end: nothing is written, the cache is fresh, and nobody wants to come back.
func (s Scenario) live(t *testing.T, f fault) result {
	t.Helper()
	world := newWorld(t.Context(), s, f)
	now := clocktesting.NewFakePassiveClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	pass := s.Start(world.manager(), world.live(), now)
	for range longest {
		written := len(world.writes)
		answer, err := pass(t.Context())
		if world.killed {
			pass = s.Start(world.restart(t.Context()), world.live(), now)
			continue
		}
		moved, othersErr := s.others(t.Context(), world)
		if othersErr != nil {
			t.Fatalf("%v: others: %v", f, othersErr)
		}
		fresh := world.catchUp()
		switch {
		case err != nil && !world.failed:
			t.Fatalf("%v: %v", f, err)
		case err != nil, moved, !fresh, len(world.writes) > written:
			world.failed = false
		case answer.RequeueAfter > 0:
			now.SetTime(now.Now().Add(answer.RequeueAfter))
		default:
			return world.result()
		}
	}
	t.Fatalf("%v: no end after %d passes; last writes: %v", f, longest, world.writes[max(0, len(world.writes)-10):])
	return result{}
}

func (s Scenario) others(ctx context.Context, w *world) (bool, error) {
	if s.Others == nil {
		return false, nil
	}
	moved, err := s.Others(ctx, w.store)
	if moved {
		w.record(ctx)
	}
	return moved, err
}

// result describes the end without what differs from life to life: identities, versions and times.
func (w *world) result() result {
	objects := map[string]any{}
	for _, o := range w.history[len(w.history)-1] {
		data, err := json.Marshal(o)
		if err != nil {
			panic(fmt.Sprintf("an API object that is not JSON: %v", err))
		}
		var fields map[string]any
		if err := json.Unmarshal(data, &fields); err != nil {
			panic(fmt.Sprintf("an API object that is not JSON: %v", err))
		}
		objects[fmt.Sprintf("%T %s/%s", o, o.GetNamespace(), o.GetName())] = withoutAccidents(fields)
	}
	return result{Objects: objects, Created: maps.Clone(w.created), writes: w.writes}
}

func withoutAccidents(v any) any {
	switch node := v.(type) {
	case map[string]any:
		for key, child := range node {
			if accidental(key) {
				delete(node, key)
				continue
			}
			node[key] = withoutAccidents(child)
		}
	case []any:
		for i := range node {
			node[i] = withoutAccidents(node[i])
		}
	}
	return v
}

func accidental(key string) bool {
	switch key {
	case "uid", "resourceVersion", "generation", "managedFields", "time", "creationTimestamp":
		return true
	}
	return strings.HasSuffix(key, "Time")
}

func nextUID(n *int) string {
	*n++
	return "uid-" + strconv.Itoa(*n)
}
