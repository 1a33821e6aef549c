// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/study"
	"github.com/millrace-ml/millrace/internal/suggest"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

// state is what is known of an experiment, worked out once for a pass.
type state struct {
	study  study.Summary
	faults []suggest.Fault
	now    time.Time
}

// decision is what an experiment has come to.
type decision struct {
	phase, reason, message string
	// rejected is true when no trial can be made, over when the search has ended, good when it ended well.
	rejected, over, good bool
	again                time.Duration
}

// rule decides in one case; false leaves it to the next one.
type rule func(e *v1alpha1.Experiment, w World, s state) (decision, bool)

// rules are asked in this order; the last one always decides.
var rules = []rule{
	remembered, badSearch, stillBad, badTemplate, goalReached, goalInSight, tooManyFailed, allTried, nothingLeft, timeIsUp, budgetUsed, suspended, goesOn,
}

func decide(e *v1alpha1.Experiment, w World, s state) decision {
	for _, r := range rules {
		if d, ok := r(e, w, s); ok {
			return d
		}
	}
	return decision{}
}

// raisable are the ends that a raised budget takes back.
var raisable = []string{
	v1alpha1.ReasonMaxTrialsReached, v1alpha1.ReasonMaxDurationReached, v1alpha1.ReasonMaxFailedTrialsReached, v1alpha1.ReasonNoTrialSucceeded,
	v1alpha1.ReasonBudgetUsedUp,
}

// remembered is an end that stays: what led to it may be gone by now.
func remembered(e *v1alpha1.Experiment, _ World, _ state) (decision, bool) {
	c := condition.Get(e, v1alpha1.ConditionSucceeded)
	ended := condition.Decided(e, v1alpha1.ConditionSucceeded) && e.Status.Phase != v1alpha1.PhaseRejected
	stays := e.Spec.Resume == v1alpha1.ResumeNever || !slices.Contains(raisable, c.Reason)
	d := decision{phase: e.Status.Phase, reason: c.Reason, message: c.Message, over: true, good: c.Status == condition.Truth(true)}
	return d, ended && stays
}

func rejected(reason, message string) decision {
	return decision{phase: v1alpha1.PhaseRejected, reason: reason, message: message, rejected: true}
}

func badSearch(e *v1alpha1.Experiment, w World, s state) (decision, bool) {
	faults := append(slices.Clone(s.faults), w.Answer.Faults...)
	if rule, wanted := study.RuleOf(e); wanted {
		faults = append(faults, suggest.ValidateRule(rule)...)
	}
	if len(faults) == 0 {
		return decision{}, false
	}
	said := make([]string, len(faults))
	for i, f := range faults {
		said[i] = "spec." + f.String()
	}
	return rejected(v1alpha1.ReasonInvalidSearch, strings.Join(said, "; ")+"."), true
}

// stillBad is a search that was refused as it stands, while a manager that has just started has not looked at it yet.
func stillBad(e *v1alpha1.Experiment, w World, _ state) (decision, bool) {
	c := condition.Get(e, v1alpha1.ConditionAccepted)
	refused := c.Status == metav1.ConditionFalse && c.Reason == v1alpha1.ReasonInvalidSearch && c.ObservedGeneration == e.Generation
	return rejected(c.Reason, c.Message), refused && w.Searching
}

// lookAgain is the wait before the ConfigMap of a template is looked for again: those of users are not watched.
const lookAgain = time.Minute

func badTemplate(e *v1alpha1.Experiment, w World, _ state) (decision, bool) {
	if w.Missing != "" {
		d := rejected(v1alpha1.ReasonTemplateNotFound, w.Missing)
		d.again = lookAgain
		return d, true
	}
	if e.Spec.TrialTemplate.ConfigMap != nil && w.Template == nil {
		return decision{}, false // it is read when a trial is to be made
	}
	err := templateFault(e, template(e, w))
	if refused := (*trialjob.RefusedError)(nil); errors.As(err, &refused) {
		return rejected(v1alpha1.ReasonKindRefused, "spec."+err.Error()+"."), true
	}
	if err != nil {
		return rejected(v1alpha1.ReasonInvalidTemplate, "spec."+err.Error()+"."), true
	}
	return decision{}, false
}

// templateFault is what is wrong with a template, whose places must all have something to stand there.
func templateFault(e *v1alpha1.Experiment, t v1alpha1.TrialTemplate) error {
	if err := trialjob.Check(t); err != nil {
		return err
	}
	known := map[string]bool{}
	var parameters []string
	for _, p := range e.Spec.Parameters {
		known[p.Name] = len(t.Parameters) == 0
		parameters = append(parameters, p.Name)
	}
	for _, p := range t.Parameters {
		known[p.Name] = true
		if !trialjob.IsOwn(p.Source) && !slices.Contains(parameters, p.Source) {
			return fmt.Errorf("trialTemplate.parameters[%s].source: %q is no parameter of the search: it has %s",
				p.Name, p.Source, strings.Join(parameters, ", "))
		}
	}
	for _, name := range trialjob.Places(t) {
		if !known[name] {
			return fmt.Errorf("trialTemplate.job: ${trialParameters.%s} stands for nothing: correct the name or add it to trialTemplate.parameters", name)
		}
	}
	return nil
}

func end(reason, message string) decision {
	return decision{phase: v1alpha1.PhaseSucceeded, reason: reason, message: message, over: true, good: true}
}

// ending is an end by budget, when it has come: a search that found nothing has failed.
func ending(come bool, s state, reason, message string) (decision, bool) {
	switch {
	case !come:
		return decision{}, false
	case s.study.Best() != nil:
		return end(reason, message), true
	}
	return decision{
		phase: v1alpha1.PhaseFailed, reason: v1alpha1.ReasonNoTrialSucceeded, over: true, message: message + " No trial had a value of every objective.",
	}, true
}

func goalReached(_ *v1alpha1.Experiment, _ World, s state) (decision, bool) {
	r, found := s.study.AtGoal()
	return end(v1alpha1.ReasonGoalReached, fmt.Sprintf("Trial %s reached the goal.", r.Name)), found
}

// goalInSight is a goal that a running trial has reached already.
func goalInSight(e *v1alpha1.Experiment, w World, _ state) (decision, bool) {
	t := atGoal(e, w)
	if t == nil {
		return decision{}, false
	}
	return end(v1alpha1.ReasonGoalReached, fmt.Sprintf("Trial %s reached the goal.", t.Name)), true
}

// atGoal is a running trial that has reached the goal; nil when there is none.
func atGoal(e *v1alpha1.Experiment, w World) *v1alpha1.Trial {
	for i := range w.Trials {
		t := &w.Trials[i]
		live, known := w.Live[t.UID]
		if known && !ended(t) && study.Reaches(e.Spec.Objectives, trialjob.Values(e.Spec.Objectives, nil, live)) {
			return t
		}
	}
	return nil
}

func ended(t *v1alpha1.Trial) bool { return study.Ended(t) }

func tooManyFailed(e *v1alpha1.Experiment, _ World, s state) (decision, bool) {
	if e.Spec.MaxFailedTrials == nil || s.study.Failures() <= int(*e.Spec.MaxFailedTrials) {
		return decision{}, false
	}
	message := fmt.Sprintf("%d trials failed, and spec.maxFailedTrials is %d.", s.study.Failures(), *e.Spec.MaxFailedTrials)
	if f := s.study.Failure(); f != nil {
		message += fmt.Sprintf(" The last %d failed alike, %s: %s", f.Trials, f.Example, f.Message)
	}
	return decision{phase: v1alpha1.PhaseFailed, reason: v1alpha1.ReasonMaxFailedTrialsReached, message: message, over: true}, true
}

func allTried(e *v1alpha1.Experiment, _ World, s state) (decision, bool) {
	reached := e.Spec.MaxTrials > 0 && s.study.Over >= int(e.Spec.MaxTrials)
	return ending(reached, s, v1alpha1.ReasonMaxTrialsReached, fmt.Sprintf("All %d trials have ended.", s.study.Over))
}

// nothingLeft is a search that has no more proposals, when the trials of those it had have ended.
func nothingLeft(_ *v1alpha1.Experiment, w World, s state) (decision, bool) {
	left := w.Searching || w.Answer.Exhausted == "" || len(w.Answer.Found) > 0 || s.study.Over < len(s.study.Records)
	return ending(!left, s, v1alpha1.ReasonSearchExhausted, fmt.Sprintf("There is nothing left to try: %s.", w.Answer.Exhausted))
}

func timeIsUp(e *v1alpha1.Experiment, _ World, s state) (decision, bool) {
	left, bounded := timeLeft(e, s.now)
	over := bounded && left <= 0
	return ending(over, s, v1alpha1.ReasonMaxDurationReached, fmt.Sprintf("The experiment took its %d seconds.", e.Spec.MaxDurationSeconds))
}

func timeLeft(e *v1alpha1.Experiment, now time.Time) (time.Duration, bool) {
	if e.Spec.MaxDurationSeconds == 0 || e.Status.StartTime == nil {
		return 0, false
	}
	return e.Status.StartTime.Add(time.Duration(e.Spec.MaxDurationSeconds) * time.Second).Sub(now), true
}

// wake is how long it is until the time or a budget is used up; 0 when neither ever is as things stand.
func wake(e *v1alpha1.Experiment, s state) time.Duration {
	again := time.Duration(e.Spec.MaxDurationSeconds) * time.Second
	if left, bounded := timeLeft(e, s.now); bounded {
		again = left
	}
	for _, b := range e.Spec.Budget {
		if _, lasts := leftOf(e, s, b); lasts < math.MaxInt64 && (again == 0 || lasts < again) {
			again = lasts
		}
	}
	return again
}

// suspended ends as any other: the trials that run go on, and use time and budget.
func suspended(e *v1alpha1.Experiment, _ World, s state) (decision, bool) {
	d := decision{
		phase: v1alpha1.PhaseSuspended, reason: v1alpha1.ReasonSuspended, message: "spec.suspend is true: no further trials are made.", again: wake(e, s),
	}
	return d, e.Spec.Suspend != nil && *e.Spec.Suspend
}

func goesOn(e *v1alpha1.Experiment, w World, s state) (decision, bool) {
	d := decision{phase: v1alpha1.PhaseRunning, again: wake(e, s)}
	counts := s.study.Counts
	switch {
	case *counts.Running > 0:
		d.reason, d.message = v1alpha1.ReasonTrialsRunning, "Trials are running."
	case *counts.Pending > 0:
		d.reason, d.message = v1alpha1.ReasonTrialsWaiting, "Trials wait for their jobs to run."
	case w.Searching || len(s.study.Records) == 0:
		d.phase, d.reason, d.message = v1alpha1.PhasePending, v1alpha1.ReasonSearching, "Proposals are being worked out."
	default:
		d.reason, d.message = v1alpha1.ReasonSearching, "The next trials are being made."
	}
	return d, true
}
