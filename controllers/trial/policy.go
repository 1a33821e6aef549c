// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

// patience is how long after the end of a job its metrics are waited for.
const patience = 5 * time.Minute

// decision is what a trial has come to.
type decision struct {
	phase, reason, message string
	// make is true when the job is to be made, over when the trial has ended.
	make, over bool
	again      time.Duration
	// ended is when the trial ended.
	ended time.Time
	// values are what was measured.
	values []v1alpha1.MetricValue
}

// rule decides in one case; false leaves it to the next one.
type rule func(t *v1alpha1.Trial, w World, now time.Time) (decision, bool)

// rules are asked in this order; the last one always decides.
var rules = []rule{ended, badTemplate, stopped, notRead, notMade, notOurs, jobFailed, jobSucceeded, jobGoes}

func decide(t *v1alpha1.Trial, w World, now time.Time) decision {
	for _, r := range rules {
		if d, ok := r(t, w, now); ok {
			return d
		}
	}
	return decision{}
}

// over is true once a trial has ended, which is never taken back.
func over(t *v1alpha1.Trial) bool {
	return condition.Decided(t, v1alpha1.ConditionSucceeded)
}

func ended(t *v1alpha1.Trial, _ World, _ time.Time) (decision, bool) {
	return decision{phase: t.Status.Phase, over: true}, over(t)
}

func badTemplate(t *v1alpha1.Trial, w World, now time.Time) (decision, bool) {
	d := decision{phase: v1alpha1.PhaseRejected, reason: v1alpha1.ReasonInvalidTemplate, over: true, ended: now}
	_, err := jobOf(t, w)
	if err == nil {
		err = trialjob.Check(t.Spec.Template)
	}
	if err == nil {
		return d, false
	}
	if refused := (*trialjob.RefusedError)(nil); errors.As(err, &refused) {
		d.reason = v1alpha1.ReasonKindRefused
	}
	d.message = field(err) + "."
	return d, true
}

// field is an error with the path of the field as a Trial has it.
func field(err error) string {
	if said := err.Error(); strings.HasPrefix(said, "metricsCollector") {
		return "spec." + said
	}
	return strings.Replace(err.Error(), "trialTemplate", "spec.template", 1)
}

// phases are what a reason to stop makes of a trial.
var phases = map[v1alpha1.StopReason]string{v1alpha1.StopEarly: v1alpha1.PhaseEarlyStopped, v1alpha1.StopKilled: v1alpha1.PhaseKilled}

// stopped ends a trial at once: what was measured until then is all there will be.
func stopped(t *v1alpha1.Trial, w World, now time.Time) (decision, bool) {
	if t.Spec.Stop == nil || w.Job != nil && trialjob.Judge(t.Spec.Template, w.Job).State == trialjob.Succeeded {
		return decision{}, false
	}
	// Nothing may be lost that is known of a job that cannot be seen just now.
	if w.Reading == Unknown {
		return waiting(v1alpha1.ReasonJobPending, "The job is being looked for."), true
	}
	return decision{
		phase: phases[t.Spec.Stop.Reason], reason: string(t.Spec.Stop.Reason), over: true, ended: now, values: valuesOf(t, w),
		message: cmp.Or(t.Spec.Stop.Message, "spec.stop asked for it."),
	}, true
}

func waiting(reason, message string) decision {
	return decision{phase: v1alpha1.PhasePending, reason: reason, message: message}
}

// notRead is a trial whose job cannot be looked for. A kind that is not served, or not allowed, shows when the job is made.
func notRead(t *v1alpha1.Trial, w World, now time.Time) (decision, bool) {
	kind := kindOf(t)
	switch w.Reading {
	case ClusterWide:
		return decision{
			phase: v1alpha1.PhaseRejected, reason: v1alpha1.ReasonKindRefused, over: true, ended: now,
			message: fmt.Sprintf("spec.template.job: objects of the kind %s are in no namespace: a trial makes what is in its own.", kind),
		}, true
	case Unserved:
		d := waiting(v1alpha1.ReasonKindNotServed, fmt.Sprintf(
			"spec.template.job: the cluster does not know the kind %s: install what serves it. (%s)", kind, w.Why))
		d.again = refusedAgain
		return d, true
	case Forbidden:
		d := waiting(v1alpha1.ReasonJobForbidden, forbidden(kind, w.Why))
		d.again = refusedAgain
		return d, true
	case Read:
		return decision{}, false
	default:
		return waiting(v1alpha1.ReasonJobPending, "The watch on the kind of the job is being opened."), true
	}
}

// refusedAgain is the wait before a kind is looked for again.
const refusedAgain = time.Minute

func forbidden(kind, why string) string {
	return fmt.Sprintf("spec.template.job: the manager may not use the kind %s: add a ClusterRole with the label "+
		"rbac.millrace.dev/aggregate-to-workloads: \"true\" that allows get, list, watch, create and delete. (%s)", kind, why)
}

// kindIn is the kind of the job; false when the template does not tell.
func kindIn(t *v1alpha1.Trial) (schema.GroupVersionKind, bool) {
	job, err := trialjob.Parse(t.Spec.Template)
	if err != nil {
		return schema.GroupVersionKind{}, false
	}
	return job.GroupVersionKind(), true
}

// kindOf is the kind of the job for people.
func kindOf(t *v1alpha1.Trial) string {
	kind, _ := kindIn(t)
	return kind.Kind + "." + kind.GroupVersion().String()
}

// notMade makes the job once. One that was seen and is gone was deleted by somebody.
func notMade(t *v1alpha1.Trial, w World, now time.Time) (decision, bool) {
	if w.Job != nil {
		return decision{}, false
	}
	if t.Status.Job != nil {
		return decision{
			phase: v1alpha1.PhaseKilled, reason: v1alpha1.ReasonJobDeleted, over: true, ended: now,
			message: fmt.Sprintf("Somebody deleted the %s %s before it had ended.", t.Status.Job.Kind, t.Name),
		}, true
	}
	d := waiting(v1alpha1.ReasonCreatingJob, "The job is being made.")
	d.make = true
	return d, true
}

// notOurs tries to make the job although there is one of its name: the engine finds out whose it is, and waits for one that is going.
func notOurs(t *v1alpha1.Trial, w World, _ time.Time) (decision, bool) {
	d := waiting(v1alpha1.ReasonCreatingJob, "The job is being made.")
	d.make = true
	return d, !engine.Owned(w.Job, t.UID)
}

func jobFailed(t *v1alpha1.Trial, w World, now time.Time) (decision, bool) {
	v := trialjob.Judge(t.Spec.Template, w.Job)
	said := v.Message
	if w.Cause != "" {
		said = w.Cause
	}
	return decision{
		phase: v1alpha1.PhaseFailed, reason: v1alpha1.ReasonJobFailed, over: true, ended: endOf(v, now), values: valuesOf(t, w),
		message: clip(strings.TrimSuffix(fmt.Sprintf("The %s failed: %s", w.Job.GetKind(), cmp.Or(said, v.Reason, "it does not say why")), ".") + "."),
	}, v.State == trialjob.Failed
}

// clip keeps a message within what a condition holds, and what is told of many trials.
func clip(message string) string {
	const most = 1500
	if len(message) <= most {
		return message
	}
	return strings.ToValidUTF8(message[:most], "") + "..."
}

func endOf(v trialjob.Verdict, now time.Time) time.Time {
	if v.Ended.IsZero() || v.Ended.After(now) {
		return now
	}
	return v.Ended
}

// jobSucceeded ends a trial when there is a value of every objective, or none will come.
func jobSucceeded(t *v1alpha1.Trial, w World, now time.Time) (decision, bool) {
	v := trialjob.Judge(t.Spec.Template, w.Job)
	if v.State != trialjob.Succeeded {
		return decision{}, false
	}
	d := decision{phase: v1alpha1.PhaseSucceeded, reason: v1alpha1.ReasonJobSucceeded, over: true, ended: endOf(v, now), values: valuesOf(t, w)}
	metric, missing := unmeasured(t, d.values)
	switch left := patience - now.Sub(d.ended); {
	case missing && !w.Measured.Drained && !w.Unmetered && left > 0:
		return decision{
			phase: v1alpha1.PhaseRunning, reason: v1alpha1.ReasonWaitingForMetrics, again: left,
			message: "The job succeeded; its metrics are being read.",
		}, true
	case missing:
		d.phase, d.reason, d.message = v1alpha1.PhaseMetricsUnavailable, v1alpha1.ReasonMetricsUnavailable, unavailable(t, w, metric)
	default:
		d.judgeNumbers(t)
	}
	return d, true
}

// judgeNumbers fails a trial with an objective that is not a finite number: it must never win.
func (d *decision) judgeNumbers(t *v1alpha1.Trial) {
	for i, o := range t.Spec.Objectives {
		if v := trialjob.Real(d.values[i].Value); math.IsNaN(v) || math.IsInf(v, 0) {
			d.phase, d.reason = v1alpha1.PhaseMetricsUnavailable, v1alpha1.ReasonNotANumber
			d.message = fmt.Sprintf("The job succeeded, and its value of %s is %s: it is no result.", o.Metric, d.values[i].Value)
			return
		}
	}
	said := make([]string, len(t.Spec.Objectives))
	for i := range said {
		said[i] = d.values[i].Name + "=" + d.values[i].Value
	}
	d.message = "The job succeeded with " + strings.Join(said, ", ") + "."
}

// unmeasured is the first objective without a value.
func unmeasured(t *v1alpha1.Trial, values []v1alpha1.MetricValue) (metric string, missing bool) {
	for i, o := range t.Spec.Objectives {
		if i >= len(values) || values[i].Name != o.Metric {
			return o.Metric, true
		}
	}
	return "", false
}

// hints say what to look at, by where metrics come from.
var hints = map[v1alpha1.CollectorKind]string{
	v1alpha1.CollectStdOut:      "does its primary pod print %[1]s=VALUE, or what spec.metricsCollector.filters find?",
	v1alpha1.CollectFile:        "does it write %[1]s to the file of spec.metricsCollector.path?",
	v1alpha1.CollectTensorBoard: "does it write the scalar %[1]s to the directory of spec.metricsCollector.path?",
	v1alpha1.CollectPrometheus:  "does its endpoint show %[1]s while it runs?",
	v1alpha1.CollectPush:        "does it send %[1]s to the manager?",
}

func unavailable(t *v1alpha1.Trial, w World, metric string) string {
	kind := cmp.Or(t.Spec.MetricsCollector.Kind, v1alpha1.CollectStdOut)
	said := fmt.Sprintf("The job succeeded without a value of %s: "+hints[kind], metric)
	switch {
	case w.Unmetered:
		return fmt.Sprintf("The job succeeded without a value of %s: this manager measures nothing.", metric)
	case w.Measured.Problem != "" || w.Unpublished != "":
		return said + " (" + cmp.Or(w.Unpublished, w.Measured.Problem) + ")"
	}
	return said
}

// jobGoes is a job that has not ended.
func jobGoes(t *v1alpha1.Trial, w World, _ time.Time) (decision, bool) {
	v := trialjob.Judge(t.Spec.Template, w.Job)
	kind := w.Job.GetKind()
	d := map[trialjob.State]decision{
		trialjob.Waiting: waiting(v1alpha1.ReasonJobPending, fmt.Sprintf("The %s has not begun.", kind)),
		trialjob.Queued:  waiting(v1alpha1.ReasonJobQueued, fmt.Sprintf("The %s is suspended or waits in a queue.", kind)),
		trialjob.Running: {phase: v1alpha1.PhaseRunning, reason: v1alpha1.ReasonJobRunning, message: fmt.Sprintf("The %s runs.", kind)},
	}[v.State]
	if v.Wrong != "" {
		d.message += " A condition of spec.template cannot be read: " + v.Wrong + "."
	}
	return d, true
}

func valuesOf(t *v1alpha1.Trial, w World) []v1alpha1.MetricValue {
	return trialjob.Values(t.Spec.Objectives, t.Spec.Metrics, w.Measured)
}
