// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/study"
	"github.com/millrace-ml/millrace/internal/suggest"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

// pageSize is how many trials are written into a page, if they fit into so many bytes: the API server takes no ConfigMap of more than a MiB.
const (
	pageSize    = 200
	largestPage = 512 << 10
)

// Plan makes the next trials of an experiment, stops those that are not wanted any more, and puts old ones away. It is pure.
func Plan(e *v1alpha1.Experiment, w World, now time.Time) engine.Plan {
	s := stateOf(e, w, now)
	d := decide(e, w, s)
	if d.rejected {
		return engine.Plan{Again: d.again}
	}
	plan := engine.Plan{Again: d.again, Patch: stops(e, w, s, d), Delete: putAway(w)}
	if !d.over && d.phase != v1alpha1.PhaseSuspended {
		plan.Create = trials(e, w, s)
	}
	if page := nextPage(e, w); page != nil {
		plan.Create = append(plan.Create, engine.Step{Object: page})
	}
	if !w.Recorded {
		plan.Create = append(plan.Create, engine.Step{Object: record(e)})
	}
	return plan
}

func stateOf(e *v1alpha1.Experiment, w World, now time.Time) state {
	if w.studied == nil {
		w.study(e)
	}
	return state{w.studied.summary, w.studied.faults, now}
}

// record is the Suggestion that tells what was proposed.
func record(e *v1alpha1.Experiment) *v1alpha1.Suggestion {
	s := &v1alpha1.Suggestion{}
	s.Name, s.Labels = e.Name, labels(e)
	s.Spec.Experiment = e.Name
	return s
}

func labels(e *v1alpha1.Experiment) map[string]string {
	return map[string]string{names.ManagedBy: names.Manager, names.Experiment: e.Name}
}

// trials are the next trials, as far as there is room. A trial that somebody deleted leaves a name free, which is used first.
func trials(e *v1alpha1.Experiment, w World, s state) []engine.Step {
	var steps []engine.Step
	if w.Answer.From != len(s.study.Records) {
		return nil
	}
	taken := map[int]bool{}
	last, index := 0, 1
	for _, r := range s.study.Records {
		taken[r.Index], last = true, max(last, r.Proposal)
	}
	for i, found := range w.Answer.Found {
		if i == s.room(e) {
			break
		}
		for taken[index] {
			index++
		}
		taken[index] = true
		steps = append(steps, engine.Step{Object: trial(e, template(e, w), found, place{index, last + 1 + i})})
	}
	return steps
}

// place is where a trial stands among the others.
type place struct{ index, proposal int }

func trial(e *v1alpha1.Experiment, template v1alpha1.TrialTemplate, found study.Found, at place) *v1alpha1.Trial {
	t := &v1alpha1.Trial{}
	t.Name, t.Labels = names.TrialOf(e.Name, at.index), labels(e)
	t.Spec = v1alpha1.TrialSpec{
		Experiment: e.Name, Index: int32(at.index), Proposal: int32(at.proposal), Results: new(int32(found.Results)),
		Assignments: study.Assignments(e.Spec.Parameters, found.Assignment), Labels: found.Labels, Parent: found.Parent, Why: clip(found.Why, mostWhy),
		Objectives: e.Spec.Objectives, Metrics: e.Spec.Metrics, Template: template, MetricsCollector: e.Spec.MetricsCollector,
	}
	for _, f := range found.Follows {
		t.Spec.Follows = append(t.Spec.Follows, int32(f))
	}
	return t
}

// Bounds of texts.
const (
	mostWhy     = 256
	mostMessage = 1024
)

func clip(text string, most int) string {
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "")
	}
	return text
}

// stops are the trials to be stopped: all that run at the end of the experiment, if it wants that, and before it those that are
// not worth their time.
func stops(e *v1alpha1.Experiment, w World, s state, d decision) []engine.Step {
	var steps []engine.Step
	early := judge(e, w, s)
	for i := range w.Trials {
		t := &w.Trials[i]
		if ended(t) || t.Spec.Stop != nil || !t.DeletionTimestamp.IsZero() {
			continue
		}
		switch stop := (*v1alpha1.TrialStop)(nil); {
		case d.over && e.Spec.AtEnd != v1alpha1.AtEndFinish:
			steps = append(steps, stopping(t, atEnd(e, w, t, d)))
		case !d.over:
			if stop = early(t); stop != nil {
				steps = append(steps, stopping(t, *stop))
			}
		}
	}
	return steps
}

// atEnd stops a trial because the experiment has ended. What reached the goal is a result.
func atEnd(e *v1alpha1.Experiment, w World, t *v1alpha1.Trial, d decision) v1alpha1.TrialStop {
	if winner := atGoal(e, w); winner != nil && winner.UID == t.UID {
		return v1alpha1.TrialStop{Reason: v1alpha1.StopEarly, Message: "It has reached the goal."}
	}
	return v1alpha1.TrialStop{Reason: v1alpha1.StopKilled, Message: clip("The experiment has ended: "+d.message, mostMessage)}
}

// judge asks the early-stopping rule of an experiment about trials that run.
func judge(e *v1alpha1.Experiment, w World, s state) func(*v1alpha1.Trial) *v1alpha1.TrialStop {
	rule, wanted := study.RuleOf(e)
	if !wanted || len(w.Live) == 0 {
		return func(*v1alpha1.Trial) *v1alpha1.TrialStop { return nil }
	}
	curves, running := map[string][]suggest.Point{}, map[string]suggest.Trial{}
	for i := range w.Trials {
		for _, p := range w.Live[w.Trials[i].UID].Series[rule.Objective.Metric].Curve {
			curves[w.Trials[i].Name] = append(curves[w.Trials[i].Name], suggest.Point(p))
		}
	}
	all := s.study.All()
	for i := range all {
		if live := curves[all[i].Name]; all[i].State == suggest.Pending && len(live) > 0 {
			all[i].Curve = live
			running[all[i].Name] = all[i]
		}
	}
	judge := suggest.NewJudge(rule, all)
	return func(t *v1alpha1.Trial) *v1alpha1.TrialStop {
		verdict := judge.Stop(running[t.Name])
		if !verdict.Stop {
			return nil
		}
		return &v1alpha1.TrialStop{Reason: v1alpha1.StopEarly, Message: clip(rule.Name+": "+verdict.Why, mostMessage)}
	}
}

// stopping tells a trial to stop. The trial does the rest.
func stopping(t *v1alpha1.Trial, stop v1alpha1.TrialStop) engine.Step {
	data, err := json.Marshal(map[string]any{"spec": map[string]any{"stop": stop}})
	if err != nil {
		panic(fmt.Sprintf("a patch that is not JSON: %v", err))
	}
	// A kind that is defined has merge patches only, which the engine sends for unstructured objects.
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Trial"))
	o.SetNamespace(t.Namespace)
	o.SetName(t.Name)
	o.SetUID(t.UID)
	return engine.Step{Object: o, Data: data}
}

// nextPage is a page with the oldest trials, when there are more objects of ended ones than the experiment keeps; nil when there
// are not.
func nextPage(e *v1alpha1.Experiment, w World) *corev1.ConfigMap {
	archived := w.archived()
	var old []study.Record
	for i := range w.Trials {
		if t := &w.Trials[i]; ended(t) && !archived.has(t) && numbered(t) == nil {
			old = append(old, study.RecordOf(t))
		}
	}
	limit := 0
	if e.Spec.TrialHistoryLimit != nil {
		limit = int(*e.Spec.TrialHistoryLimit)
	}
	if len(old) < limit+pageSize {
		return nil
	}
	slices.SortFunc(old, func(a, b study.Record) int { return a.Proposal - b.Proposal })
	text := study.Encode(old[:pageSize])
	for n := pageSize / 2; len(text) > largestPage && n > 0; n /= 2 {
		text = study.Encode(old[:n])
	}
	page := &corev1.ConfigMap{Immutable: new(true), Data: map[string]string{study.PageKey: text}}
	page.Name, page.Labels = names.Record(e.Name, len(w.Pages)), labels(e)
	return page
}

// putAway deletes the Trials that a page was seen to have.
func putAway(w World) []engine.Step {
	archived := w.archived()
	var steps []engine.Step
	for i := range w.Trials {
		if t := &w.Trials[i]; archived.has(t) && t.DeletionTimestamp.IsZero() {
			steps = append(steps, engine.Step{Object: t})
		}
	}
	return steps
}

// live is what is known of running trials.
func live(meter trialjob.Meter, trials []v1alpha1.Trial) map[uid]trialjob.Measured {
	known := map[uid]trialjob.Measured{}
	if meter == nil {
		return known
	}
	for i := range trials {
		if measured, found := meter.Measured(trials[i].UID); found && !ended(&trials[i]) {
			known[trials[i].UID] = measured
		}
	}
	return known
}
