// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	conditions "github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/names"
)

// TestWaitHoldsToWhatIsWantedNow has statuses of specs, and of stops, that are no longer wanted.
func TestWaitHoldsToWhatIsWantedNow(t *testing.T) {
	const soon = " --timeout 10ms"
	search := aSearch()[0].(*v1alpha1.Experiment)
	search.Generation, search.Status.ObservedGeneration = 2, 1
	conditions.Set(search, v1alpha1.ConditionSucceeded, metav1.ConditionTrue, "Because", "It was over.")
	notebook := func(name, reason string, running metav1.ConditionStatus) *v1alpha1.Notebook {
		nb := &v1alpha1.Notebook{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "team", Annotations: map[string]string{}}}
		conditions.Set(nb, v1alpha1.ConditionReady, metav1.ConditionTrue, reason, "So it is.")
		conditions.Set(nb, v1alpha1.ConditionRunning, running, reason, "So it is.")
		conditions.Set(nb, v1alpha1.ConditionStopped, conditions.Truth(running != metav1.ConditionTrue), reason, "So it is.")
		return nb
	}
	started, up := notebook("started", v1alpha1.ReasonStopped, metav1.ConditionFalse), notebook("up", v1alpha1.ReasonServing, metav1.ConditionTrue)
	stopped, specified := started.DeepCopy(), started.DeepCopy()
	stopped.Name, stopped.Annotations[names.Stopped] = "stopped", "now"
	specified.Name, specified.Spec.Stopped = "specified", new(true)
	objects := []client.Object{search, started, up, stopped, specified}
	for args, code := range map[string]int{
		"exp digits" + soon:                         ExitTimeout,
		"exp digits --for finished" + soon:          ExitTimeout,
		"exp digits --for running" + soon:           ExitTimeout,
		"nb started" + soon:                         ExitTimeout,
		"nb started --for condition=stopped" + soon: ExitTimeout,
		"nb stopped --for condition=stopped" + soon: ExitOK,
		"nb stopped" + soon:                         ExitOK,
		"nb specified" + soon:                       ExitOK,
		"nb up" + soon:                              ExitOK,
		"nb up --for running" + soon:                ExitOK,
		"nb stopped --for running" + soon:           ExitTimeout,
		"nb stopped --for condition=running=false":  ExitOK,
	} {
		expect(t, objects, "wait "+args, code, "")
	}
}

// TestWaitSeesTheObjectGo deletes an object as soon as it was read, but not while it is.
func TestWaitSeesTheObjectGo(t *testing.T) {
	cluster, read := clusterOf(t, nil, job()), false
	gone := func(ctx context.Context, c client.WithWatch) {
		if read {
			_ = c.Delete(ctx, job())
		}
	}
	cluster.WithWatch = interceptor.NewClient(cluster.WithWatch, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
			read = true
			return c.Get(ctx, key, into, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			gone(ctx, c)
			return c.List(ctx, list, opts...)
		},
		Watch: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) (watch.Interface, error) {
			defer gone(ctx, c)
			return c.Watch(ctx, list, opts...)
		},
	})
	if got := callOn(t, cluster, "wait", "digits", "--for", "deleted", "--timeout", "2s"); got.code != ExitOK {
		t.Errorf("got %+v", got)
	}
}

func TestExperimentIsWatchedToItsEnd(t *testing.T) {
	over, resumed := aSearch(), aSearch()
	for _, o := range []client.Object{over[0], resumed[0]} {
		x := o.(*v1alpha1.Experiment)
		x.Generation, x.Status.ObservedGeneration = 2, 2
		conditions.Set(x, v1alpha1.ConditionSucceeded, metav1.ConditionTrue, "Because", "It was over.")
	}
	resumed[0].(*v1alpha1.Experiment).Status.ObservedGeneration = 1
	for name, c := range map[string]struct {
		objects []client.Object
		code    int
	}{"one that is over": {over, ExitOK}, "one that goes on": {resumed, ExitError}, "one there is not": {nil, ExitNotFound}} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if got := program(clusterOf(t, nil, c.objects...), t.Output(), t.Output()).Run(ctx, []string{"experiment", "digits", "-w"}); got != c.code {
			t.Errorf("%s: exit code %d, want %d", name, got, c.code)
		}
		cancel()
	}
}
