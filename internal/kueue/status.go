// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package kueue

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Condition is a condition of the Workload, empty when it has none of that kind.
func (w *Workload) Condition(kind string) metav1.Condition {
	for _, c := range w.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return metav1.Condition{Type: kind}
}

// Is tells whether a condition is True.
func (w *Workload) Is(kind string) bool { return w.Condition(kind).Status == metav1.ConditionTrue }

// Active is false for a Workload that somebody took out of its queue, or that is being deleted.
func (w *Workload) Active() bool {
	return w.DeletionTimestamp == nil && (w.Spec.Active == nil || *w.Spec.Active)
}

// MayRun is true while the pods of the Workload may run.
func (w *Workload) MayRun() bool {
	return w.Is(Admitted) && !w.Is(Evicted) && w.Active()
}

// MustRelease is true for an evicted Workload that still holds quota.
func (w *Workload) MustRelease() bool { return w.Is(Evicted) && w.Is(QuotaReserved) }

// Release is the patch of the status by which an owner whose pods are gone gives the quota of an evicted Workload back. Kueue
// puts the Workload back into its queue when it was preempted or lost its nodes; after other evictions it does so itself, later.
func (w *Workload) Release(now time.Time) []byte {
	evicted := w.Condition(Evicted)
	requeue := evicted.Reason == preempted || evicted.Reason == nodeFailures
	conditions := w.Status.Conditions
	for _, c := range []metav1.Condition{
		{Type: Requeued, Status: statusOf(requeue), Reason: evicted.Reason, Message: evicted.Message},
		{Type: QuotaReserved, Status: metav1.ConditionFalse, Reason: "Pending", Message: evicted.Message},
		w.notAdmitted(),
		{Type: PodsReady, Status: metav1.ConditionFalse, Reason: "WaitForStart", Message: "Not all pods are ready or succeeded"},
	} {
		conditions = with(conditions, w.stamped(c, now))
	}
	status := map[string]any{"admission": nil, "conditions": conditions}
	if since := w.Condition(Admitted); since.Status == metav1.ConditionTrue {
		ran := int32(now.Sub(since.LastTransitionTime.Time).Seconds())
		if past := w.Status.AccumulatedPastExecutionTimeSeconds; past != nil {
			ran += *past
		}
		status["accumulatedPastExecutionTimeSeconds"] = ran
	}
	return w.patch(map[string]any{"status": status})
}

// notAdmitted is the condition Admitted of a Workload without a reservation, in Kueue's words.
func (w *Workload) notAdmitted() metav1.Condition {
	c := metav1.Condition{Type: Admitted, Status: metav1.ConditionFalse, Reason: "NoReservation", Message: "The workload has no reservation"}
	if _, waits := w.pendingCheck(); waits {
		c.Reason, c.Message = "NoReservationUnsatisfiedChecks", "The workload has no reservation and not all checks ready"
	}
	return c
}

// Started is the patch of the status that tells that all pods are ready, for which Kueue waits where it is told to.
func (w *Workload) Started(now time.Time) []byte {
	return w.conditionPatch(metav1.Condition{
		Type: PodsReady, Status: metav1.ConditionTrue, Reason: "Started", Message: "All pods reached readiness and the workload is running",
	}, now)
}

// Finish is the patch of the status that ends the Workload and frees its quota.
func (w *Workload) Finish(succeeded bool, message string, now time.Time) []byte {
	c := metav1.Condition{Type: Finished, Status: metav1.ConditionTrue, Reason: "Failed", Message: message}
	if succeeded {
		c.Reason = "Succeeded"
	}
	return w.conditionPatch(c, now)
}

// OutOfSync is the patch of the status that ends a Workload that does not ask for what its job needs.
func (w *Workload) OutOfSync(message string, now time.Time) []byte {
	return w.conditionPatch(metav1.Condition{Type: Finished, Status: metav1.ConditionTrue, Reason: outOfSync, Message: message}, now)
}

func (w *Workload) conditionPatch(c metav1.Condition, now time.Time) []byte {
	return w.patch(map[string]any{"status": map[string]any{"conditions": with(w.Status.Conditions, w.stamped(c, now))}})
}

func (w *Workload) stamped(c metav1.Condition, now time.Time) metav1.Condition {
	c.ObservedGeneration, c.LastTransitionTime = w.Generation, metav1.NewTime(now.Truncate(time.Second))
	return c
}

func statusOf(b bool) metav1.ConditionStatus {
	if b {
		return metav1.ConditionTrue
	}
	return metav1.ConditionFalse
}

// Evictions is how often Kueue evicted the Workload.
func (w *Workload) Evictions() int32 {
	total := int32(0)
	for _, e := range w.Status.SchedulingStats.Evictions {
		total += e.Count
	}
	return total
}

// EvictedReason is why the Workload was evicted last, empty when it never was. Kueue clears the condition when it admits anew.
func (w *Workload) EvictedReason() string {
	if c := w.Condition(Evicted); c.Status == metav1.ConditionTrue {
		return c.Reason
	}
	if n := len(w.Status.SchedulingStats.Evictions); n == 1 {
		return w.Status.SchedulingStats.Evictions[0].Reason
	}
	return ""
}

// Pending says in Kueue's words what a Workload without admission waits for, empty when Kueue has not said anything yet.
func (w *Workload) Pending() string {
	if !w.Is(QuotaReserved) {
		return w.Condition(QuotaReserved).Message
	}
	if check, waits := w.pendingCheck(); waits {
		return strings.TrimSuffix(fmt.Sprintf("quota is reserved in ClusterQueue %s; admission check %s is %s: %s",
			w.ClusterQueue(), check.Name, check.State, check.Message), ": ")
	}
	return fmt.Sprintf("quota is reserved in ClusterQueue %s", w.ClusterQueue())
}

// pendingCheck is the first admission check that is not ready.
func (w *Workload) pendingCheck() (Check, bool) {
	i := slices.IndexFunc(w.Status.AdmissionChecks, func(c Check) bool { return c.State != ready })
	if i < 0 {
		return Check{}, false
	}
	return w.Status.AdmissionChecks[i], true
}

// ClusterQueue is where quota is reserved.
func (w *Workload) ClusterQueue() string {
	if w.Status.Admission == nil {
		return ""
	}
	return w.Status.Admission.ClusterQueue
}

// Count is the number of pods of a PodSet that were admitted; false when Kueue has not said.
func (w *Workload) Count(podSet string) (int32, bool) {
	a := w.assignment(podSet)
	if a == nil || a.Count == nil {
		return 0, false
	}
	return *a.Count, true
}

func (w *Workload) assignment(podSet string) *Assignment {
	if w.Status.Admission == nil {
		return nil
	}
	for i, a := range w.Status.Admission.PodSetAssignments {
		if a.Name == podSet {
			return &w.Status.Admission.PodSetAssignments[i]
		}
	}
	return nil
}
