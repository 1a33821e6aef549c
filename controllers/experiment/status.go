// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/engine"
)

// Report writes what has become of an experiment into its status. It is pure.
func Report(e *v1alpha1.Experiment, w World, now time.Time) {
	s := stateOf(e, w, now)
	d := decide(e, w, s)
	e.Status.Phase = d.phase
	conditions(e, d, leftOut(w))
	if d.rejected {
		return
	}
	if e.Status.StartTime == nil {
		e.Status.StartTime = stamp(now)
	}
	e.Status.Trials = s.study.Counts
	e.Status.Trials.Archived = int32(archivedOnly(w))
	e.Status.Best, e.Status.Pareto, e.Status.Curve = s.study.Best(), s.study.Pareto(), s.study.Curve()
	e.Status.Failure = s.study.Failure()
	count(e, s, d.over)
	e.Status.EstimatedEndTime = estimate(e, s, d)
	switch {
	case !d.over:
		e.Status.CompletionTime = nil
	case e.Status.CompletionTime == nil:
		e.Status.CompletionTime = stamp(now)
	}
}

// archivedOnly is how many trials are in pages and no objects any more.
func archivedOnly(w World) int {
	archived := w.archived()
	gone := 0
	for _, p := range w.Pages {
		gone += len(p.Records)
	}
	for i := range w.Trials {
		if archived.has(&w.Trials[i]) {
			gone--
		}
	}
	return gone
}

func stamp(t time.Time) *metav1.Time {
	at := metav1.NewTime(t.UTC().Truncate(time.Second))
	return &at
}

// estimate is the end of an experiment whose number of trials is bounded, told from those that have ended.
func estimate(e *v1alpha1.Experiment, s state, d decision) *metav1.Time {
	mean, last := s.study.Lasted()
	left := int(e.Spec.MaxTrials) - s.study.Over
	if d.over || e.Spec.MaxTrials == 0 || left <= 0 || mean == 0 {
		return nil
	}
	waves := (left + s.study.Parallel - 1) / s.study.Parallel
	return stamp(last.Add(time.Duration(waves) * mean))
}

// conditions say the same as the decision, each in its own terms.
func conditions(e *v1alpha1.Experiment, d decision, leftOut string) {
	stuck := d.rejected || d.over && !d.good
	healthy := func(reason, message string) (string, string) {
		if stuck {
			return d.reason, d.message
		}
		return reason, message
	}
	accepted, why := v1alpha1.ReasonAccepted, strings.TrimSpace("Trials can be made. "+leftOut)
	if d.rejected {
		accepted, why = d.reason, d.message
	}
	condition.Set(e, v1alpha1.ConditionAccepted, condition.Truth(!d.rejected), accepted, why)
	condition.Set(e, v1alpha1.ConditionRunning, condition.Truth(d.reason == v1alpha1.ReasonTrialsRunning), d.reason, d.message)
	if d.over || d.rejected {
		condition.Set(e, v1alpha1.ConditionSucceeded, condition.Truth(d.good), d.reason, d.message)
	} else {
		condition.Set(e, v1alpha1.ConditionSucceeded, metav1.ConditionUnknown, v1alpha1.ReasonInProgress, d.message)
	}
	reason, message := healthy(v1alpha1.ReasonProgressing, d.message)
	if d.over {
		reason = v1alpha1.ReasonFinished
	}
	// What runs is as it should be, as a running batch Job is.
	reconciling := !d.over && !d.rejected && d.reason != v1alpha1.ReasonTrialsRunning && d.phase != v1alpha1.PhaseSuspended
	condition.Set(e, v1alpha1.ConditionReconciling, condition.Truth(reconciling), reason, message)
	reason, message = healthy(v1alpha1.ReasonHealthy, "Nothing stands in the way.")
	condition.Set(e, v1alpha1.ConditionStalled, condition.Truth(stuck), reason, message)
}

// causes are what a refusal of the API server means for an experiment.
var causes = map[engine.Cause]string{
	engine.Taken: v1alpha1.ReasonNameTaken, engine.Quota: v1alpha1.ReasonQuotaExceeded, engine.Forbidden: v1alpha1.ReasonRefused,
	engine.Invalid: v1alpha1.ReasonRefused, engine.Broken: v1alpha1.ReasonRefused, engine.Missing: v1alpha1.ReasonRefused,
}

// Refuse writes into the status what could not be written to the cluster. It is pure.
func Refuse(e *v1alpha1.Experiment, refusals []engine.Refusal) {
	if condition.Decided(e, v1alpha1.ConditionSucceeded) {
		return
	}
	r := refusals[0]
	message := fmt.Sprintf("%s %s: %s", r.Kind, r.Name, r.Message)
	condition.Set(e, v1alpha1.ConditionSucceeded, metav1.ConditionUnknown, v1alpha1.ReasonInProgress, message)
	// A quota is freed by others' ends, and a webhook that is broken by somebody's repair.
	if r.Cause == engine.Quota || r.Cause == engine.Broken {
		condition.Set(e, v1alpha1.ConditionReconciling, metav1.ConditionTrue, causes[r.Cause], message)
		return
	}
	condition.Set(e, v1alpha1.ConditionReconciling, metav1.ConditionFalse, causes[r.Cause], message)
	condition.Set(e, v1alpha1.ConditionStalled, metav1.ConditionTrue, causes[r.Cause], message)
}

// canWait is true of changes nobody waits for: counts, times and a better trial.
func canWait(before, after *v1alpha1.Experiment) bool {
	return before.Status.ObservedGeneration == after.Status.ObservedGeneration &&
		before.Status.Phase == after.Status.Phase && equality.Semantic.DeepEqual(before.Status.Conditions, after.Status.Conditions)
}
