// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package proposer

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/millrace-ml/millrace/internal/study"
	"github.com/millrace-ml/millrace/internal/suggest"
)

var alice, bob = types.NamespacedName{Namespace: "team", Name: "alice"}, types.NamespacedName{Namespace: "team", Name: "bob"}

// desk is a pool that works, and who it woke.
type desk struct {
	*Pool
	t     *testing.T
	woken workqueue.TypedRateLimitingInterface[reconcile.Request]
}

func newDesk(t *testing.T, workers int) desk {
	t.Helper()
	d := desk{NewPool(workers), t, workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())}
	if err := d.Source().Start(t.Context(), d.woken); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the pool does not end")
		}
	})
	return d
}

// wait is until somebody is woken.
func (d desk) wait(who types.NamespacedName) {
	d.t.Helper()
	got, _ := d.woken.Get()
	d.woken.Done(got)
	if got.NamespacedName != who {
		d.t.Fatalf("%s is woken, want %s", got, who)
	}
}

func query(of, id string, from int, run func(cancelled func() bool) study.Result) Query {
	return Query{Of: of, ID: id, From: from, Run: run}
}

// found answers with one proposal that says why.
func found(from int, why string) func(func() bool) study.Result {
	return func(func() bool) study.Result {
		return study.Result{From: from, Found: []study.Found{{Proposal: suggest.Proposal{Why: why}}}}
	}
}

func TestWhoAskedIsWokenAndHasTheAnswer(t *testing.T) {
	d := newDesk(t, 1)
	if _, known := d.Ask(alice, query("a", "1", 0, found(0, "first"))); known {
		t.Fatal("an answer before it was worked out")
	}
	d.wait(alice)
	// Another end is no reason to throw proposals away; another trial is.
	if got, known := d.Ask(alice, query("a", "2", 0, found(0, "second"))); !known || got.Found[0].Why != "first" {
		t.Errorf("got %+v, %t, want the first answer", got, known)
	}
	if _, known := d.Ask(alice, query("a", "3", 1, found(1, "third"))); known {
		t.Error("an answer to a question of other trials")
	}
	d.wait(alice)
	if got, known := d.Ask(alice, query("a", "3", 1, nil)); !known || got.Found[0].Why != "third" {
		t.Errorf("got %+v, %t, want the third answer", got, known)
	}
}

func TestWorkThatNobodyWantsEnds(t *testing.T) {
	for name, leave := range map[string]func(d desk){
		"the experiment is gone": func(d desk) { d.Forget(alice) },
		"it is another one now":  func(d desk) { d.Ask(alice, query("b", "1", 0, found(0, "other"))) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, 1)
			began, ended := make(chan struct{}), make(chan struct{})
			d.Ask(alice, query("a", "1", 0, func(cancelled func() bool) study.Result {
				close(began)
				for !cancelled() {
					runtime.Gosched()
				}
				close(ended)
				return study.Result{}
			}))
			<-began
			leave(d)
			<-ended
			d.Ask(bob, query("c", "1", 0, found(0, "bob's")))
			for got := (types.NamespacedName{}); got != bob; {
				r, _ := d.woken.Get()
				d.woken.Done(r)
				got = r.NamespacedName
			}
		})
	}
}

// TestAPanicCostsOneSearch: a panic of a worker would end the manager, and the next one after it.
func TestAPanicCostsOneSearch(t *testing.T) {
	d := newDesk(t, 1)
	d.Ask(alice, query("a", "1", 0, func(func() bool) study.Result { panic("matrix is singular") }))
	d.wait(alice)
	got, known := d.Ask(alice, query("a", "1", 0, nil))
	if !known || len(got.Faults) != 1 || !strings.Contains(got.Faults[0].Message, "matrix is singular") {
		t.Errorf("got %+v, %t, want the fault", got, known)
	}
	d.Ask(bob, query("b", "1", 0, found(0, "bob's")))
	d.wait(bob)
}
