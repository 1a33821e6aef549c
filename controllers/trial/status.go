// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

// Report writes what has become of a trial into its status. It is pure. While a trial runs its metrics are not written: that would be a
// write for each of them.
func Report(t *v1alpha1.Trial, w World, now time.Time) {
	if over(t) {
		if w.Reading == Read && w.Job == nil {
			t.Status.Job = nil // there is nothing left of it to delete
		}
		return
	}
	d := decide(t, w, now)
	t.Status.Phase = d.phase
	if w.Job != nil && engine.Owned(w.Job, t.UID) {
		t.Status.Job = &v1alpha1.TrialJob{APIVersion: w.Job.GetAPIVersion(), Kind: w.Job.GetKind(), UID: string(w.Job.GetUID())}
	}
	if d.phase == v1alpha1.PhaseRunning && t.Status.StartTime == nil {
		t.Status.StartTime = stamp(now)
	}
	t.Status.Requests = requested(t, w, d)
	if d.reason == v1alpha1.ReasonJobDeleted {
		t.Status.Job = nil
	}
	if d.over && t.Status.StartTime == nil && !w.Began.IsZero() {
		t.Status.StartTime = stamp(w.Began)
	}
	if d.over {
		t.Status.CompletionTime = stamp(d.ended)
		t.Status.Metrics, t.Status.Curve = d.values, curveOf(t, w)
	}
	conditions(t, d)
}

// requested is what the status says of requests. A short trial is written once, at its end: its pods, which have ended, tell of it then.
func requested(t *v1alpha1.Trial, w World, d decision) []v1alpha1.ResourceRequest {
	switch {
	case d.over && t.Status.Requests == nil:
		return most(nil, w.Held)
	case d.phase == v1alpha1.PhaseRunning:
		return most(t.Status.Requests, w.Requests)
	}
	return t.Status.Requests
}

func stamp(t time.Time) *metav1.Time {
	at := metav1.NewTime(t.UTC().Truncate(time.Second))
	return &at
}

func curveOf(t *v1alpha1.Trial, w World) []v1alpha1.CurvePoint {
	return trialjob.Curve(w.Measured.Series[t.Spec.Objectives[0].Metric].Curve)
}

// conditions say the same as the decision, each in its own terms.
func conditions(t *v1alpha1.Trial, d decision) {
	good := d.phase == v1alpha1.PhaseSucceeded || d.phase == v1alpha1.PhaseEarlyStopped
	rejected := d.phase == v1alpha1.PhaseRejected
	stuck := rejected || d.over && !good && d.phase != v1alpha1.PhaseKilled || blocked(d.reason)
	condition.Set(t, v1alpha1.ConditionAccepted, condition.Truth(!rejected), pick(rejected, d.reason, v1alpha1.ReasonAccepted), pick(rejected, d.message, "A job can be made of the template."))
	condition.Set(t, v1alpha1.ConditionRunning, condition.Truth(d.phase == v1alpha1.PhaseRunning), d.reason, d.message)
	condition.Set(t, v1alpha1.ConditionMetricsAvailable, metricsAre(t, d), metricsReason(t, d), metricsMessage(t, d))
	switch {
	case d.over:
		condition.Set(t, v1alpha1.ConditionSucceeded, condition.Truth(good), d.reason, d.message)
	default:
		condition.Set(t, v1alpha1.ConditionSucceeded, metav1.ConditionUnknown, v1alpha1.ReasonInProgress, d.message)
	}
	condition.Set(t, v1alpha1.ConditionReconciling, condition.Truth(!d.over && !stuck && d.reason != v1alpha1.ReasonJobRunning), pick(d.over, v1alpha1.ReasonFinished, pick(stuck, d.reason, v1alpha1.ReasonProgressing)), d.message)
	condition.Set(t, v1alpha1.ConditionStalled, condition.Truth(stuck), pick(stuck, d.reason, v1alpha1.ReasonHealthy), pick(stuck, d.message, "Nothing stands in the way."))
}

// blocked is true of reasons that only a change by somebody else can mend.
func blocked(reason string) bool {
	return reason == v1alpha1.ReasonKindNotServed || reason == v1alpha1.ReasonJobForbidden
}

func measured(t *v1alpha1.Trial, d decision) bool {
	_, missing := unmeasured(t, d.values)
	return !missing && d.reason != v1alpha1.ReasonNotANumber
}

func metricsAre(t *v1alpha1.Trial, d decision) metav1.ConditionStatus {
	if !d.over {
		return metav1.ConditionUnknown
	}
	return condition.Truth(measured(t, d))
}

func metricsReason(t *v1alpha1.Trial, d decision) string {
	switch {
	case !d.over:
		return v1alpha1.ReasonWaitingForMetrics
	case measured(t, d):
		return v1alpha1.ReasonMetricsAvailable
	case d.reason == v1alpha1.ReasonNotANumber:
		return d.reason
	}
	return v1alpha1.ReasonMetricsUnavailable
}

func metricsMessage(t *v1alpha1.Trial, d decision) string {
	switch metric, missing := unmeasured(t, d.values); {
	case !d.over:
		return "Metrics are written here when the trial has ended."
	case missing:
		return fmt.Sprintf("There is no value of %s.", metric)
	case measured(t, d):
		return "There is a value of every objective."
	}
	return d.message
}

func pick(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// causes are what a refusal of the API server means for a trial.
var causes = map[engine.Cause]string{
	engine.Taken: v1alpha1.ReasonNameTaken, engine.Quota: v1alpha1.ReasonQuotaExceeded, engine.Forbidden: v1alpha1.ReasonJobForbidden,
	engine.Invalid: v1alpha1.ReasonRefused, engine.Broken: v1alpha1.ReasonRefused, engine.Missing: v1alpha1.ReasonKindNotServed,
}

// Refuse writes into the status what could not be written to the cluster. It is pure.
func Refuse(t *v1alpha1.Trial, refusals []engine.Refusal) {
	if over(t) {
		return
	}
	r := refusals[0]
	reason, message := causes[r.Cause], fmt.Sprintf("%s %s: %s", r.Kind, r.Name, r.Message)
	if r.Cause == engine.Forbidden {
		message = forbidden(kindOf(t), r.Message)
	}
	condition.Set(t, v1alpha1.ConditionRunning, metav1.ConditionFalse, reason, message)
	condition.Set(t, v1alpha1.ConditionSucceeded, metav1.ConditionUnknown, v1alpha1.ReasonInProgress, message)
	// A quota is freed by others' ends, and a webhook that is broken by somebody's repair.
	stuck := r.Cause != engine.Quota && r.Cause != engine.Broken
	condition.Set(t, v1alpha1.ConditionStalled, condition.Truth(stuck), pick(stuck, reason, v1alpha1.ReasonHealthy), pick(stuck, message, "Nothing stands in the way."))
	condition.Set(t, v1alpha1.ConditionReconciling, condition.Truth(!stuck), pick(stuck, reason, v1alpha1.ReasonProgressing), message)
}

// canWait is true of changes nobody waits for: that a job was made, and has come to run. A short trial is written once.
func canWait(before, after *v1alpha1.Trial) bool {
	stalled := func(t *v1alpha1.Trial) metav1.ConditionStatus {
		return condition.Get(t, v1alpha1.ConditionStalled).Status
	}
	return !over(after) && stalled(before) == stalled(after)
}
