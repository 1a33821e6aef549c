// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// verdict is how a job ends.
type verdict struct {
	succeeded       bool
	reason, message string
	failure         *v1alpha1.Failure
}

// verdict asks the policies in order; the first to answer ends the job.
func (s *state) verdict() (verdict, bool) {
	for _, ask := range []func() (verdict, bool){
		s.deciderSucceeded, s.failedForGood, s.nobodyLeft, s.budgetSpent, s.budgetSpentInPlace, s.pastDeadline, s.noProgress,
	} {
		if v, over := ask(); over {
			return v, true
		}
	}
	return verdict{}, false
}

// deciderSucceeded: a role that decides has done its work; what the others do no longer matters.
func (s *state) deciderSucceeded() (verdict, bool) {
	roles, enough := s.layout.Deciders()
	for _, role := range roles {
		done := make([]bool, role.Count)
		for _, r := range s.replicas {
			if r.Role.Name == role.Name {
				done[r.Index] = r.succeeded()
			}
		}
		if !enough(s.job, done) {
			continue
		}
		message := fmt.Sprintf("Pod %s has succeeded.", names.Member(s.job.Name, role.Name, slices.Index(done, true)))
		if role.Count > 1 && !slices.Contains(done, false) {
			message = fmt.Sprintf("All pods of role %s have succeeded.", role.Name)
		}
		return verdict{succeeded: true, reason: v1alpha1.ReasonTrainingSucceeded, message: message}, true
	}
	return verdict{}, false
}

// failedForGood: a replica failed that its restart policy does not restart.
func (s *state) failedForGood() (verdict, bool) {
	if s.halted() {
		return verdict{}, false
	}
	for _, f := range s.judged() {
		if !s.replaced(f) && !s.layout.Spares(f.replica.Role.Name) {
			return verdict{
				reason: v1alpha1.ReasonReplicaFailed, failure: f.cause,
				message: fmt.Sprintf("%s. restartPolicy %s of role %s does not restart it.", sentence(f.cause), f.replica.Role.RestartPolicy, f.replica.Role.Name),
			}, true
		}
	}
	return verdict{}, false
}

// nobodyLeft: the failures of a role are spared one by one, but not those of all that could decide.
func (s *state) nobodyLeft() (verdict, bool) {
	roles, _ := s.layout.Deciders()
	if s.halted() || slices.ContainsFunc(s.replicas, func(r replica) bool { return slices.Contains(roles, r.Role) && !s.over(r) }) {
		return verdict{}, false
	}
	for _, f := range s.failures {
		if slices.Contains(roles, f.replica.Role) {
			return verdict{
				reason: v1alpha1.ReasonReplicaFailed, failure: f.cause,
				message: fmt.Sprintf("%s. No pod of role %s is left that could succeed.", sentence(f.cause), f.replica.Role.Name),
			}, true
		}
	}
	return verdict{}, false
}

// retried is the restart policy as a question to a failure.
func (s *state) retried(f failure) bool {
	switch f.replica.Role.RestartPolicy {
	case v1alpha1.RestartNever:
		return false
	case v1alpha1.RestartExitCode:
		return s.retryable(f)
	default:
		return true
	}
}

// retryable judges the exit code of the main container, or of the container that failed where the main one did not. A failure without
// one is not the program's doing.
func (s *state) retryable(f failure) bool {
	code, name := f.cause.ExitCode, f.cause.Signal
	if end := f.replica.end(); end != nil && end.ExitCode != 0 {
		code, name = &end.ExitCode, signal(end)
	}
	if code == nil {
		return true
	}
	listed := s.job.Spec.RunPolicy.Restarts.Retryable
	if listed == nil {
		return *code >= 128
	}
	return slices.Contains(listed.ExitCodes, *code) || slices.Contains(listed.Signals, v1alpha1.Signal(name))
}

// budgetSpent: a unit failed once more than it may.
func (s *state) budgetSpent() (verdict, bool) {
	if s.halted() {
		return verdict{}, false
	}
	for _, f := range s.judged() {
		if s.replaced(f) && s.spent(s.afterFailure(f)) {
			return s.exceeded(f.replica.unit, f.cause), true
		}
	}
	return verdict{}, false
}

// budgetSpentInPlace: the kubelet restarted a container once more than it may.
func (s *state) budgetSpentInPlace() (verdict, bool) {
	for _, r := range s.replicas {
		if r.current() && !r.succeeded() && inPlace(r) > 0 && s.spent(s.afterInPlace(r)) {
			return s.exceeded(r.unit, explain(r.pod, r.Role.MainName())), true
		}
	}
	return verdict{}, false
}

func (s *state) exceeded(unit string, cause *v1alpha1.Failure) verdict {
	return verdict{
		reason: v1alpha1.ReasonRestartsExceeded, failure: cause,
		message: fmt.Sprintf("%s. %s has used up its restarts (spec.runPolicy.restarts.max is %d).", sentence(cause), unitName(unit), budget(s.job)),
	}
}

func (s *state) pastDeadline() (verdict, bool) {
	deadline := s.job.Spec.RunPolicy.ActiveDeadlineSeconds
	if deadline == nil || s.job.Status.StartTime == nil || s.halted() || s.untilDeadline() > 0 {
		return verdict{}, false
	}
	return verdict{
		reason:  v1alpha1.ReasonDeadlineExceeded,
		message: fmt.Sprintf("The job was active for more than %d seconds (spec.runPolicy.activeDeadlineSeconds).", *deadline),
	}, true
}

// untilDeadline is the time left, and 0 when there is no deadline or it has passed.
func (s *state) untilDeadline() time.Duration {
	deadline := s.job.Spec.RunPolicy.ActiveDeadlineSeconds
	if deadline == nil || s.halted() {
		return 0
	}
	start := s.now
	if s.job.Status.StartTime != nil {
		start = s.job.Status.StartTime.Time
	}
	return max(0, start.Add(seconds(deadline)).Sub(s.now))
}

// noProgress: every pod runs, and none has told of progress for too long.
func (s *state) noProgress() (verdict, bool) {
	deadline := s.job.Spec.RunPolicy.ProgressDeadlineSeconds
	if deadline == nil || s.halted() || !s.allRunning() || s.untilStalled() > 0 {
		return verdict{}, false
	}
	return verdict{
		reason: v1alpha1.ReasonProgressDeadlineExceeded,
		message: fmt.Sprintf("Every pod runs and none has told of progress for %d seconds (spec.runPolicy.progressDeadlineSeconds); progress is told by the annotation %s.",
			*deadline, names.Heartbeat),
	}, true
}

// untilStalled is the time left to tell of progress, and 0 when it is over or does not count.
func (s *state) untilStalled() time.Duration {
	deadline := s.job.Spec.RunPolicy.ProgressDeadlineSeconds
	if deadline == nil || s.halted() || !s.allRunning() {
		return 0
	}
	return max(0, s.lastProgress().Add(seconds(deadline)).Sub(s.now))
}

// lastProgress is the last time anything told of progress: a heartbeat of the job or of a pod, or a pod that began to run.
func (s *state) lastProgress() time.Time {
	last := heartbeat(s.job)
	if t := s.job.Status.RunningTime; t != nil {
		last = later(last, t.Time)
	} else {
		last = later(last, s.now)
	}
	for _, r := range s.replicas {
		if r.pod == nil {
			continue
		}
		last = later(last, heartbeat(r.pod))
		if run := r.main().State.Running; run != nil {
			last = later(last, run.StartedAt.Time)
		}
	}
	return last
}

// heartbeat is the time in the annotation of an object; one that cannot be read is none.
func heartbeat(o metav1.Object) time.Time {
	at, err := time.Parse(time.RFC3339, o.GetAnnotations()[names.Heartbeat])
	if err != nil {
		return time.Time{}
	}
	return at
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// ended is true once the end of the job is in its status. It stays so whatever becomes of the pods.
func ended(job *v1alpha1.TrainingJob) bool {
	for _, c := range job.Status.Conditions {
		if c.Type == v1alpha1.ConditionSucceeded {
			return c.Status != metav1.ConditionUnknown
		}
	}
	return false
}

// unschedulable returns what the scheduler says of a pod it finds no node for.
func unschedulable(p *corev1.Pod) (string, bool) {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return fmt.Sprintf("Pod %s has no node: %s", p.Name, c.Message), true
		}
	}
	return "", false
}
