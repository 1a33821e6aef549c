// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/names"
)

// Report writes what is known of a job into its status. It is pure.
func Report(job *v1alpha1.TrainingJob, w World, now time.Time) {
	if ended(job) {
		return
	}
	if o, refused := refuses(job, w); refused {
		set(job, rejected(o)...)
		job.Status.Phase = v1alpha1.PhaseRejected
		return
	}
	s := look(job, w, now)
	v, over := s.verdict()
	s.recordCheckpoint()
	s.judgeNodes()
	if !over && !s.halted() {
		s.recordFailures()
		s.release()
		causes := s.causes
		s = look(job, w, now)
		s.causes = causes
	}
	s.times()
	s.recordInPlace()
	recount(s)
	s.formation()
	if s.halted() && !over {
		// Resumed, everything runs anew.
		forgetSuccesses(job, "")
	}
	set(job, s.progress()...)
	s.failure()
	s.stand()
	if over {
		s.finish(v)
	}
	job.Status.Phase = phase(job)
}

// set puts conditions in their fixed order, replacing those of the same type.
func set(job *v1alpha1.TrainingJob, conditions ...metav1.Condition) {
	for _, c := range conditions {
		i := slices.IndexFunc(job.Status.Conditions, func(old metav1.Condition) bool { return old.Type == c.Type })
		if i < 0 {
			job.Status.Conditions = append(job.Status.Conditions, c)
			continue
		}
		c.LastTransitionTime = job.Status.Conditions[i].LastTransitionTime
		job.Status.Conditions[i] = c
	}
}

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

// Statuses in short, for the tables below.
const (
	yes     = metav1.ConditionTrue
	no      = metav1.ConditionFalse
	unknown = metav1.ConditionUnknown
)

func rejected(o objection) []metav1.Condition {
	const nothing = "Nothing is done for a job that is not accepted."
	return []metav1.Condition{
		condition(v1alpha1.ConditionAccepted, no, o.reason, o.message),
		condition(v1alpha1.ConditionScheduled, unknown, o.reason, nothing),
		condition(v1alpha1.ConditionRunning, no, o.reason, nothing),
		condition(v1alpha1.ConditionRestarting, no, v1alpha1.ReasonNotRestarting, nothing),
		condition(v1alpha1.ConditionSuspended, no, v1alpha1.ReasonNotSuspended, nothing),
		condition(v1alpha1.ConditionSucceeded, unknown, o.reason, o.message),
		condition(v1alpha1.ConditionReconciling, no, o.reason, nothing),
		condition(v1alpha1.ConditionStalled, yes, o.reason, o.message),
	}
}

// times records when the job started and when all of it first ran. A suspended job starts anew when it is resumed.
func (s *state) times() {
	st := &s.job.Status
	switch {
	case s.halted():
		if st.StartTime != nil {
			st.Suspensions++
			s.recordLoss(s.now)
		}
		st.StartTime, st.RunningTime, st.RunningAttempt = nil, nil, nil
		return
	case s.resuming() && len(s.outdated) > 0:
		return // the pods of before the suspension are still on their way out
	case st.StartTime == nil:
		st.StartTime = s.start()
	}
	st.RunningAttempt = nil
	if !s.allRunning() {
		return
	}
	st.RunningAttempt = new(recorded(s.job))
	if st.RunningTime == nil {
		st.RunningTime = s.stamp()
	}
}

// resuming is true for a job that was suspended and has not started again.
func (s *state) resuming() bool { return s.job.Status.Suspensions > 0 && s.job.Status.StartTime == nil }

// start is when the first of the pods was made, which may have been a while before this is recorded.
func (s *state) start() *metav1.Time {
	first := s.stamp()
	for _, r := range s.replicas {
		if r.current() && !r.pod.CreationTimestamp.IsZero() && r.pod.CreationTimestamp.Before(first) {
			first = r.pod.CreationTimestamp.DeepCopy()
		}
	}
	return first
}

// stamp is now at the precision the API stores.
func (s *state) stamp() *metav1.Time { return new(metav1.NewTime(s.now.Truncate(time.Second))) }

func (s *state) allRunning() bool {
	return !slices.ContainsFunc(s.replicas, func(r replica) bool { return !r.running() && !s.over(r) })
}

// over is true for a replica that has nothing left to do: it has succeeded, or failed where that does not matter.
func (s *state) over(r replica) bool {
	if r.succeeded() || !s.layout.Spares(r.Role.Name) {
		return r.succeeded()
	}
	i := slices.IndexFunc(s.failures, func(f failure) bool { return f.replica.Role == r.Role && f.replica.Index == r.Index })
	return i >= 0 && !s.replaced(s.failures[i])
}

// recount counts pods by role, restarts, and what the scale subresource reads.
func recount(s *state) {
	st := &s.job.Status
	ready, restarts := 0, int32(0)
	tallyRoles(s)
	for _, r := range s.replicas {
		if r.running() || r.succeeded() {
			ready++
		}
	}
	for _, rec := range st.Restarts {
		restarts += rec.Count + rec.Lost + rec.InPlace
	}
	st.Ready = fmt.Sprintf("%d/%d", ready, len(s.replicas))
	// A count that fell when pods are cleaned up would deny restarts that happened.
	st.RestartCount = max(restarts, st.RestartCount)
	if framework.ElasticOf(s.job) != nil {
		st.Elastic = s.scale()
	}
}

// tallyRoles counts pods by role.
func tallyRoles(s *state) {
	s.job.Status.Roles = nil
	for _, role := range s.job.Spec.Roles {
		s.job.Status.Roles = append(s.job.Status.Roles, s.tally(role.Name))
	}
}

func (s *state) tally(role string) v1alpha1.RoleStatus {
	t := v1alpha1.RoleStatus{Name: role, Replicas: new(int32(0))}
	done := indexSet{}
	for _, r := range s.replicas {
		if r.Role.Name != role {
			continue
		}
		*t.Replicas++
		switch {
		case r.succeeded():
			t.Succeeded++
			done[r.Index] = true
		case r.running():
			t.Running++
		case r.failed():
			t.Failed++
		case r.current():
			t.Pending++
		}
	}
	t.SucceededIndexes = formatIndexes(done, int(*t.Replicas))
	return t
}

func (s *state) scale() *v1alpha1.ElasticStatus {
	exist := int32(0)
	for _, r := range s.replicas {
		if r.Role.Name == "Worker" && r.current() {
			exist++
		}
	}
	return &v1alpha1.ElasticStatus{
		Replicas: &exist,
		Selector: names.TrainingJob + "=" + s.job.Name + "," + names.Role + "=worker",
	}
}

// failure keeps the root cause of the last burst of failures in sight.
func (s *state) failure() {
	causes := s.causes
	if s.job.Status.Failure != nil {
		causes = append(slices.Clone(causes), s.job.Status.Failure)
	}
	if root := rootCause(causes); root != nil {
		s.job.Status.Failure = root.DeepCopy()
	}
}

// finish writes the end of the job. It is never taken back.
func (s *state) finish(v verdict) {
	s.job.Status.CompletionTime, s.job.Status.Nodes = s.stamp(), nil
	if s.job.Status.Queue != nil {
		s.job.Status.Queue.State = v1alpha1.QueueFinished
	}
	status, stalled := yes, condition(v1alpha1.ConditionStalled, no, v1alpha1.ReasonFinished, "The job has succeeded.")
	if !v.succeeded {
		status, stalled = no, condition(v1alpha1.ConditionStalled, yes, v.reason, v.message)
		if v.failure != nil {
			s.job.Status.Failure = v.failure
		}
	}
	if s.job.Spec.RunPolicy.CleanPods != v1alpha1.CleanNone {
		for i := range s.job.Status.Roles {
			s.job.Status.Roles[i].Running, s.job.Status.Roles[i].Pending = 0, 0
		}
	}
	set(
		s.job,
		condition(v1alpha1.ConditionRunning, no, v1alpha1.ReasonFinished, "The job has finished."),
		condition(v1alpha1.ConditionRestarting, no, v1alpha1.ReasonFinished, "The job has finished."),
		condition(v1alpha1.ConditionSucceeded, status, v.reason, v.message),
		condition(v1alpha1.ConditionReconciling, no, v1alpha1.ReasonFinished, "The job has finished."),
		stalled,
	)
}

// phase sums the conditions up in one word.
func phase(job *v1alpha1.TrainingJob) string {
	summary := []struct {
		kind   string
		status metav1.ConditionStatus
		phase  string
	}{
		{v1alpha1.ConditionSucceeded, yes, v1alpha1.PhaseSucceeded},
		{v1alpha1.ConditionSucceeded, no, v1alpha1.PhaseFailed},
		{v1alpha1.ConditionAccepted, no, v1alpha1.PhaseRejected},
		{v1alpha1.ConditionSuspended, yes, v1alpha1.PhaseSuspended},
		{v1alpha1.ConditionRestarting, yes, v1alpha1.PhaseRestarting},
		{v1alpha1.ConditionRunning, yes, v1alpha1.PhaseRunning},
		{v1alpha1.ConditionScheduled, yes, v1alpha1.PhaseStarting},
	}
	for _, line := range summary {
		for _, c := range job.Status.Conditions {
			if c.Type == line.kind && c.Status == line.status {
				return line.phase
			}
		}
	}
	return v1alpha1.PhasePending
}
