// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/study"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// search is an experiment over two parameters.
func search(algorithm v1alpha1.AlgorithmName, parallel, most int32) *v1alpha1.Experiment {
	e := &v1alpha1.Experiment{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "digits", UID: "uid"}}
	e.Spec = v1alpha1.ExperimentSpec{
		Objectives: []v1alpha1.Objective{{Metric: "loss", Direction: v1alpha1.Minimize}},
		Algorithm:  v1alpha1.Algorithm{Name: algorithm}, ParallelTrials: parallel, MaxTrials: most,
		Parameters: []v1alpha1.Parameter{
			{Name: "lr", Type: v1alpha1.ParameterDouble, Min: "0.001", Max: "1", Distribution: v1alpha1.LogUniform},
			{Name: "width", Type: v1alpha1.ParameterInt, Min: "8", Max: "128"},
		},
		TrialTemplate: v1alpha1.TrialTemplate{Job: &runtime.RawExtension{Raw: []byte(
			`{"apiVersion":"batch/v1","kind":"Job","spec":{"template":{"spec":{"containers":[{"name":"main","args":["${trialParameters.lr}"]}]}}}}`)}},
		TrialHistoryLimit: new(int32(1000)),
	}
	return e
}

// life is an experiment in a world that plans and tests change.
type life struct {
	t     *testing.T
	e     *v1alpha1.Experiment
	w     World
	now   time.Time
	moved int
}

func newLife(t *testing.T, e *v1alpha1.Experiment) *life { return &life{t: t, e: e, now: noon} }

// look is what Observe would read: the trials, and what the search says of them.
func (l *life) look() World {
	w := l.w
	w.Trials = nil
	for i := range l.w.Trials {
		w.Trials = append(w.Trials, *l.w.Trials[i].DeepCopy())
	}
	w.study(l.e)
	if want := stateOf(l.e, w, l.now).room(l.e); want > 0 && len(w.studied.faults) == 0 {
		w.Answer = w.studied.summary.Next(want, func() bool { return false })
	}
	return w
}

// pass decides as the engine does, and carries out so many of the writes: the manager is killed then. It returns the plan.
func (l *life) pass(writes int) engine.Plan {
	l.t.Helper()
	w := l.look()
	plan := Plan(l.e, w, l.now)
	if diff := gocmp.Diff(plan, Plan(l.e, w, l.now)); diff != "" {
		l.t.Fatalf("two plans of one world differ:\n%s", diff)
	}
	for _, s := range plan.Delete {
		l.remove(s.Object)
	}
	for _, s := range plan.Patch {
		l.patch(s)
	}
	for i, s := range plan.Create {
		if i == writes {
			return plan
		}
		l.create(s.Object)
	}
	Report(l.e, w, l.now)
	return plan
}

const all = 1 << 30

func (l *life) create(o engine.Object) {
	l.t.Helper()
	if wrong := validation.IsDNS1123Label(o.GetName()); len(wrong) > 0 {
		l.t.Fatalf("a name that is none: %s: %v", o.GetName(), wrong)
	}
	switch made := o.(type) {
	case *v1alpha1.Trial:
		if l.find(made.Name) != nil {
			l.t.Fatalf("a second trial %s", made.Name)
		}
		l.moved++
		made.UID = types.UID(fmt.Sprint(l.moved))
		l.w.Trials = append(l.w.Trials, *made)
	case *corev1.ConfigMap:
		records, err := study.Decode(made.Data[study.PageKey])
		if err != nil {
			l.t.Fatal(err)
		}
		l.w.Pages = append(l.w.Pages, Page{Name: made.Name, Records: records})
	case *v1alpha1.Suggestion:
		l.w.Recorded = true
	}
}

func (l *life) find(name string) *v1alpha1.Trial {
	i := slices.IndexFunc(l.w.Trials, func(t v1alpha1.Trial) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return &l.w.Trials[i]
}

func (l *life) remove(o engine.Object) {
	l.w.Trials = slices.DeleteFunc(l.w.Trials, func(t v1alpha1.Trial) bool { return t.UID == o.GetUID() })
}

func (l *life) patch(s engine.Step) {
	l.t.Helper()
	t := l.find(s.Object.GetName())
	if _, loose := s.Object.(*unstructured.Unstructured); !loose {
		l.t.Fatal("a kind that is defined takes merge patches only")
	}
	if err := json.Unmarshal(s.Data, t); err != nil {
		l.t.Fatal(err)
	}
	if t.Spec.Stop.Reason == v1alpha1.StopKilled {
		l.finish(t.Name, v1alpha1.PhaseKilled, "")
		return
	}
	l.finish(t.Name, v1alpha1.PhaseEarlyStopped, "0.5")
}

// finish ends a trial.
func (l *life) finish(name, phase, loss string) {
	l.t.Helper()
	t := l.find(name)
	if t == nil || ended(t) {
		l.t.Fatalf("%s cannot end", name)
	}
	l.now = l.now.Add(time.Second)
	t.Status.Phase = phase
	t.Status.CompletionTime = stamp(l.now)
	if t.Status.StartTime == nil {
		t.Status.StartTime = stamp(l.now.Add(-time.Minute))
	}
	if loss != "" {
		t.Status.Metrics = []v1alpha1.MetricValue{{Name: "loss", Value: loss, Min: loss, Max: loss, Latest: loss}}
	}
	condition.Set(t, v1alpha1.ConditionSucceeded, condition.Truth(phase == v1alpha1.PhaseSucceeded), phase, "pod "+name+"-abc12 failed.")
}

func (l *life) run(name string) {
	t := l.find(name)
	t.Status.Phase = v1alpha1.PhaseRunning
	if t.Status.StartTime == nil {
		t.Status.StartTime = stamp(l.now)
	}
}

func (l *life) active() []string {
	var names []string
	for i := range l.w.Trials {
		if !ended(&l.w.Trials[i]) {
			names = append(names, l.w.Trials[i].Name)
		}
	}
	return names
}

// sequence are the assignments of all proposals, in their order.
func (l *life) sequence() []string {
	s, _ := studyOf(l.e, l.w)
	var all []string
	for _, r := range s.Records {
		text, err := json.Marshal(r.Assignment)
		if err != nil {
			l.t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%d %s", r.Proposal, text))
	}
	return all
}

// loss is what a trial comes to.
func loss(t *v1alpha1.Trial) string {
	a := study.AssignmentOf(t.Spec.Assignments)
	return "0." + fmt.Sprint(len(a["lr"])*7919%997) + a["width"]
}

// play runs an experiment to its end. Trials end in an order that the seed decides; the manager looks after each end, or is killed and
// away now and then.
func play(t *testing.T, algorithm v1alpha1.AlgorithmName, seed uint64, kills bool) *life {
	t.Helper()
	fate := rand.New(rand.NewPCG(seed, 2))
	l := newLife(t, search(algorithm, 4, 40))
	l.w.Recorded = true
	away := 0
	for range 500 {
		writes := all
		if kills {
			writes = fate.IntN(6)
		}
		if away == 0 {
			l.pass(writes)
		}
		away = max(away-1, 0)
		if kills && fate.IntN(4) == 0 {
			away = 1 + fate.IntN(2)
		}
		active := l.active()
		if len(active) == 0 && condition.Decided(l.e, v1alpha1.ConditionSucceeded) {
			return l
		}
		if due := ripe(l); due != "" {
			l.finish(due, v1alpha1.PhaseSucceeded, loss(l.find(due)))
		}
	}
	t.Fatal("it does not end")
	return nil
}

// ripe is the trial that ends next, chosen among those that there are when nobody is ever away: the oldest four that have not ended. It
// is empty while the one that is chosen is still to be made.
func ripe(l *life) string {
	over := map[int]bool{}
	for _, r := range records(l) {
		over[r.Proposal] = r.Over()
	}
	var oldest []int
	n := 0
	for p := 1; p <= 40 && len(oldest) < 4; p++ {
		if over[p] {
			n++
		} else {
			oldest = append(oldest, p)
		}
	}
	if len(oldest) == 0 {
		return ""
	}
	due := oldest[(n*7+3)%len(oldest)]
	for i := range l.w.Trials {
		if int(l.w.Trials[i].Spec.Proposal) == due {
			return l.w.Trials[i].Name
		}
	}
	return ""
}

func records(l *life) []study.Record {
	s, _ := studyOf(l.e, l.w)
	return s.Records
}

func TestKillingTheManagerChangesNothing(t *testing.T) {
	for _, algorithm := range []v1alpha1.AlgorithmName{"Random", "TPE", "MultivariateTPE"} {
		t.Run(string(algorithm), func(t *testing.T) {
			want := play(t, algorithm, 1, false).sequence()
			if len(want) != 40 {
				t.Fatalf("%d trials, want 40", len(want))
			}
			for seed := range uint64(10) {
				if diff := gocmp.Diff(want, play(t, algorithm, seed, true).sequence()); diff != "" {
					t.Errorf("kills of seed %d changed the search (-want +got):\n%s", seed, diff)
				}
			}
		})
	}
}

// A manager that was away sees several trials ended at once; the proposals are as if it had seen them end one by one.
func TestResultsThatComeTogetherCountOneByOne(t *testing.T) {
	run := func(together bool) []string {
		l := newLife(t, search("TPE", 4, 40))
		for len(l.w.Trials) < 36 {
			l.pass(all)
			for i, name := range l.active()[:3] {
				l.finish(name, v1alpha1.PhaseSucceeded, loss(l.find(name)))
				if !together && i < 2 {
					l.pass(all)
				}
			}
		}
		return l.sequence()[:30]
	}
	if diff := gocmp.Diff(run(false), run(true)); diff != "" {
		t.Errorf("one by one, and together (-one +together):\n%s", diff)
	}
}
