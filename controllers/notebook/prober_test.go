// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/activity"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/names"
)

// askerFunc is a server of a test.
type askerFunc func(activity.Target) (activity.Answer, error)

func (f askerFunc) Ask(_ context.Context, t activity.Target) (activity.Answer, error) { return f(t) }

type meterFunc func() (map[asked]bool, error)

func (f meterFunc) Used(context.Context) (map[asked]bool, error) { return f() }

// rounds is a prober of one notebook that has run for an hour and may be idle for ten minutes.
type rounds struct {
	*prober
	t     *testing.T
	nb    *v1alpha1.Notebook
	clock *testclock.FakeClock
}

func newRounds(t *testing.T, ask askerFunc) *rounds {
	t.Helper()
	nb := &v1alpha1.Notebook{}
	prepare(nb)
	nb.Spec.Server = v1alpha1.Jupyter
	r := &rounds{t: t, nb: nb, clock: testclock.NewFakeClock(noon)}
	r.prober = &prober{
		Probing: Probing{Every: time.Minute, Parallel: 4}, settings: Settings{Idle: 10 * time.Minute}, asker: ask, clock: r.clock,
		uses: engine.NewSnapshot[asked, Activity](func(name asked) reconcile.Request { return reconcile.Request{NamespacedName: name} }),
	}
	r.with(podInShort{Ready: true}.pod(look(nb, World{}, noon)))
	return r
}

func (r *rounds) with(pods ...*corev1.Pod) {
	r.t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		r.t.Fatal(err)
	}
	b := fake.NewClientBuilder().WithScheme(scheme).WithObjects(r.nb)
	for _, p := range pods {
		b = b.WithObjects(p)
	}
	r.reader = b.Build()
}

// culls is true when the notebook is stopped after a round.
func (r *rounds) culls() bool {
	r.t.Helper()
	r.sweep(r.t.Context())
	pod := &corev1.Pod{}
	if err := r.reader.Get(r.t.Context(), client.ObjectKey{Namespace: "team", Name: "lab-0"}, pod); client.IgnoreNotFound(err) != nil {
		r.t.Fatal(err)
	}
	w := World{Settings: r.settings, Pod: pod}
	if a, known := r.uses.Get(client.ObjectKeyFromObject(r.nb)); known {
		w.Activity = &a
	}
	plan := Plan(r.nb, w, r.clock.Now())
	for _, step := range plan.Patch {
		if strings.Contains(string(step.Data), names.Stopped) {
			return true
		}
	}
	return false
}

func TestOnlyAServerThatIsKnownToBeIdleIsStopped(t *testing.T) {
	old := activity.Answer{Last: noon.Add(-20 * time.Minute)}
	for name, c := range map[string]struct {
		answer activity.Answer
		err    error
		edit   func(*v1alpha1.Notebook)
		want   bool
	}{
		"idle":                     {answer: old, want: true},
		"busy by a long kernel":    {answer: activity.Answer{Busy: true, Last: old.Last}},
		"used in a terminal":       {answer: activity.Answer{Last: noon.Add(-time.Minute)}},
		"connected by a websocket": {answer: activity.Answer{Connections: 1, Last: old.Last}},
		"connected, and its user does not care": {answer: activity.Answer{Connections: 1, Last: old.Last}, want: true, edit: func(nb *v1alpha1.Notebook) {
			nb.Spec.Culling = &v1alpha1.Culling{Connections: v1alpha1.IgnoreConnections}
		}},
		"it does not answer": {err: errors.New("connection refused")},
		"it may be idle for longer": {answer: old, edit: func(nb *v1alpha1.Notebook) {
			nb.Spec.Culling = &v1alpha1.Culling{IdleMinutes: new(int32(60))}
		}},
		"it is never culled": {answer: old, edit: func(nb *v1alpha1.Notebook) {
			nb.Spec.Culling = &v1alpha1.Culling{IdleMinutes: new(int32(0))}
		}},
		"it was recorded to be in use since": {answer: old, edit: func(nb *v1alpha1.Notebook) {
			nb.Status.LastActivity = new(metav1.NewTime(noon.Add(-5 * time.Minute)))
		}},
		"it was recorded to be in use in the future": {answer: old, want: true, edit: func(nb *v1alpha1.Notebook) {
			nb.Status.LastActivity = new(metav1.NewTime(noon.Add(24 * time.Hour)))
		}},
		"its clock is behind":        {answer: activity.Answer{Last: noon.Add(-61 * time.Minute), Now: noon.Add(-time.Hour)}},
		"never used since its start": {answer: activity.Answer{}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRounds(t, func(activity.Target) (activity.Answer, error) { return c.answer, c.err })
			if c.edit != nil {
				c.edit(r.nb)
				r.with(podInShort{Ready: true}.pod(look(r.nb, World{}, noon)))
			}
			for range 3 {
				if got := r.culls(); got != c.want {
					t.Fatalf("stopped: %v, want %v", got, c.want)
				}
				if !c.answer.Busy && c.answer.Connections == 0 {
					break // time alone makes the others idle
				}
				r.clock.Step(time.Hour)
			}
		})
	}
}

func TestServersAreAskedAtTheirOwnAddress(t *testing.T) {
	var got activity.Target
	r := newRounds(t, func(target activity.Target) (activity.Answer, error) {
		got = target
		return activity.Answer{Busy: true}, nil
	})
	r.culls()
	if want := "http://lab.team.svc.cluster.local/notebook/team/lab/"; got.Base != want || got.Server != v1alpha1.Jupyter {
		t.Errorf("asked %+v, want %s", got, want)
	}
	r.nb.Spec.Server, r.nb.Spec.Route = v1alpha1.VSCode, &v1alpha1.NotebookRoute{Rewrite: "/"}
	r.with(podInShort{Ready: true}.pod(look(r.nb, World{}, noon)))
	r.culls()
	if want := "http://lab.team.svc.cluster.local/"; got.Base != want {
		t.Errorf("asked %s, want %s", got.Base, want)
	}
}

func TestAServerThatIsNotUpIsNotAskedAndNothingIsKnownOfIt(t *testing.T) {
	var asks atomic.Int32
	r := newRounds(t, func(activity.Target) (activity.Answer, error) { asks.Add(1); return activity.Answer{}, nil })
	r.culls()
	r.with(podInShort{}.pod(look(r.nb, World{}, noon)))
	r.sweep(t.Context())
	if _, known := r.uses.Get(client.ObjectKeyFromObject(r.nb)); known || asks.Load() != 1 {
		t.Errorf("a server that starts is asked %d times, and something is known of it: %v", asks.Load()-1, known)
	}
}

func TestOneLostAnswerIsNoNews(t *testing.T) {
	var err error
	r := newRounds(t, func(activity.Target) (activity.Answer, error) { return activity.Answer{Busy: true}, err })
	told := func() Activity {
		r.sweep(t.Context())
		a, _ := r.uses.Get(client.ObjectKeyFromObject(r.nb))
		return a
	}
	before := told()
	err = errors.New("no answer in time")
	if got := told(); got != before {
		t.Errorf("a lost answer is told: %+v", got)
	}
	if got := told(); got.Fault != "no answer in time" {
		t.Errorf("a second one is not: %+v", got)
	}
	for _, want := range []string{"no answer in time", "connection refused"} {
		err = errors.New("connection refused")
		if got := told(); got.Fault != want {
			t.Errorf("told is %q, want %q", got.Fault, want)
		}
	}
	err = nil
	if got := told(); got != before {
		t.Errorf("an answer does not mend it: %+v", got)
	}
}

func TestUseAloneIsNotNews(t *testing.T) {
	r := newRounds(t, nil)
	r.asker = askerFunc(func(activity.Target) (activity.Answer, error) { return activity.Answer{Last: r.clock.Now()}, nil })
	r.settings.Idle = 24 * time.Hour
	news, last := 0, Activity{}
	for range 60 {
		r.clock.Step(time.Minute)
		r.sweep(t.Context())
		if a, _ := r.uses.Get(client.ObjectKeyFromObject(r.nb)); a != last {
			news, last = news+1, a
		}
	}
	if news > 5 {
		t.Errorf("an hour of use is news %d times", news)
	}
}

func TestMetricsTellWhereServersDoNot(t *testing.T) {
	r := newRounds(t, func(activity.Target) (activity.Answer, error) { return activity.Answer{}, errors.New("asked") })
	r.nb.Spec.Server = v1alpha1.Web
	r.with(podInShort{Ready: true}.pod(look(r.nb, World{}, noon)))
	var used, unnamed bool
	var err error
	r.meter = meterFunc(func() (map[asked]bool, error) {
		if err != nil || unnamed {
			return map[asked]bool{}, err
		}
		return map[asked]bool{client.ObjectKeyFromObject(r.nb): used}, nil
	})
	if r.culls() {
		t.Error("it is stopped by the first round, which cannot know")
	}
	used = true
	r.clock.Step(time.Hour)
	if r.culls() {
		t.Error("it is stopped while metrics show it in use")
	}
	used, err = false, errors.New("no Prometheus")
	r.clock.Step(time.Minute)
	if first, second := r.culls(), r.culls(); first || second {
		t.Error("it is stopped though metrics cannot be read")
	}
	err, unnamed = nil, true
	r.clock.Step(2 * time.Hour)
	if first, second := r.culls(), r.culls(); first || second {
		t.Error("it is stopped though no metric names it")
	}
	unnamed = false
	if !r.culls() {
		t.Error("it is not stopped though metrics show no use")
	}
}
