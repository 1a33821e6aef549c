// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/names"
)

// The unit of a whole job, and the waits between two attempts.
const (
	jobUnit    = "job"
	maxBackoff = 5 * time.Minute
	// lostBackoff is the wait before the second replacement of a pod that was lost, lostMax the longest: a node that turns every
	// pod away must not be asked without a pause.
	lostBackoff = 5 * time.Second
	lostMax     = time.Minute
	// defaultBudget is the schema's default, for objects that were never defaulted.
	defaultBudget = 5
	// leniency is how many restarts for each of the budget are not charged because they only tell of a lost peer.
	leniency = 10
)

// unitOf is what restarts together with a member.
func unitOf(m framework.Member) string {
	switch m.Scope() {
	case v1alpha1.ScopeJob:
		return jobUnit
	case v1alpha1.ScopeRole:
		return names.Lower(m.Role.Name)
	default:
		return replicaUnit(m)
	}
}

func replicaUnit(m framework.Member) string {
	return names.Lower(m.Role.Name) + "-" + strconv.Itoa(m.Index)
}

func budget(job *v1alpha1.TrainingJob) int32 {
	if job.Spec.RunPolicy.Restarts.Max == nil {
		return defaultBudget
	}
	return *job.Spec.RunPolicy.Restarts.Max
}

// record is what the status holds of a unit, empty when it never restarted.
func (s *state) record(unit string) v1alpha1.Restart {
	if i, found := s.records[unit]; found {
		return s.job.Status.Restarts[i]
	}
	return v1alpha1.Restart{Unit: unit}
}

func (s *state) setRecord(rec v1alpha1.Restart) {
	if i, found := s.records[rec.Unit]; found {
		s.job.Status.Restarts[i] = rec
		return
	}
	s.records[rec.Unit] = len(s.job.Status.Restarts)
	s.job.Status.Restarts = append(s.job.Status.Restarts, rec)
}

// attempts is the number of attempts of a member that are over: what is recorded for its replica, its role and its job.
func (s *state) attempts(m framework.Member) int32 {
	total := s.job.Status.Suspensions + releases(s.job)
	if len(s.records) == 0 {
		return total
	}
	for _, unit := range []string{jobUnit, names.Lower(m.Role.Name), replicaUnit(m)} {
		rec := s.record(unit)
		total += rec.Count + rec.Lost
	}
	return total
}

// inPlace is the number of restarts the kubelet made in a replica's pod: of its main container and of init containers.
func inPlace(r replica) int32 {
	if r.pod == nil {
		return 0
	}
	total := r.main().RestartCount
	for _, c := range r.pod.Status.InitContainerStatuses {
		if !isSidecar(r.pod, c.Name) {
			total += c.RestartCount
		}
	}
	return total
}

// due is how long a replica's next pod still has to wait.
func (s *state) due(r replica) time.Duration { return max(0, s.turn(r).Sub(s.now)) }

// turn is when a replica's pod was, or is, to be made after its last restart; zero when it never restarted.
func (s *state) turn(r replica) time.Time {
	rec := s.record(r.unit)
	if rec.Cause == nil || rec.Cause.Time == nil {
		return time.Time{}
	}
	wait := time.Duration(0)
	if turnedAway(rec.Cause) {
		wait = doubled(lostBackoff, rec.Lost-1, lostMax)
	}
	if base := s.job.Spec.RunPolicy.Restarts.BackoffSeconds; base != nil {
		wait = max(wait, doubled(seconds(base), rec.Count, maxBackoff))
	}
	return rec.Cause.Time.Add(wait)
}

// doubled is the wait before the nth time: base at first, then twice as long each, and nothing before it.
func doubled(base time.Duration, n int32, most time.Duration) time.Duration {
	if n <= 0 {
		return 0
	}
	return min(base<<min(n-1, 16), most)
}

// recorded counts the restarts and suspensions that something is done about once they are stored. What the kubelet did in place is
// done.
func recorded(job *v1alpha1.TrainingJob) int32 {
	total := job.Status.Suspensions + releases(job)
	for _, rec := range job.Status.Restarts {
		total += rec.Count + rec.Lost
	}
	return total
}

// turnedAway is true for a pod that its node evicted or would not take. Without a pause it could be turned away again and again;
// one that somebody deleted is replaced at once.
func turnedAway(f *v1alpha1.Failure) bool {
	return f.Reason == evicted || isLostReason(f.Reason) || unwell[f.Reason] != ""
}

// recordFailures counts the pods that failed and are to be replaced: once for each unit, by the failure that came first.
func (s *state) recordFailures() {
	restarts := slices.DeleteFunc(s.judged(), func(f failure) bool { return !s.replaced(f) })
	if len(restarts) > 0 {
		s.recordLoss(s.stopped())
	}
	for _, f := range restarts {
		s.setRecord(s.afterFailure(f))
		if !slices.Contains(faultless, f.cause.Reason) {
			s.causes = append(s.causes, f.cause)
		}
		switch f.replica.unit {
		case jobUnit:
			forgetSuccesses(s.job, "")
		case names.Lower(f.replica.Role.Name):
			forgetSuccesses(s.job, f.replica.Role.Name)
		}
	}
}

// replaced is true for a failure that is followed by a new pod.
func (s *state) replaced(f failure) bool { return f.lost || s.retried(f) }

// afterFailure is the record of a unit when a failure of it is counted.
func (s *state) afterFailure(f failure) v1alpha1.Restart {
	rec := s.afterInPlace(f.replica)
	n := inPlace(f.replica)
	rec.Count, rec.InPlace = rec.Count+n, max(0, rec.InPlace-n)
	s.forgive(&rec, f.cause.Time)
	switch {
	case f.lost:
		rec.Lost++
	case s.lenient(rec, f.cause):
		rec.Lost, rec.Peers = rec.Lost+1, rec.Peers+1
	default:
		rec.Count++
	}
	rec.Cause = brief(f.cause, len(s.replicas))
	return rec
}

// afterInPlace is the record of a replica's unit when what the kubelet restarted in its pod is counted.
func (s *state) afterInPlace(r replica) v1alpha1.Restart {
	rec := s.record(r.unit)
	more := inPlace(r) - rec.InPlace
	if more <= 0 || r.pod == nil {
		return rec
	}
	cause := explain(r.pod, r.Role.MainName())
	s.forgive(&rec, cause.Time)
	if s.lenient(rec, cause) {
		// Of several restarts since the last look only the last tells its cause.
		rec.Forgiven, rec.Peers = rec.Forgiven+1, rec.Peers+1
	}
	rec.InPlace += more
	if cause.Container != "" {
		rec.Cause = brief(cause, len(s.replicas))
	}
	return rec
}

// forgive gives a unit its whole budget again when it went without a failure for long enough before this one.
func (s *state) forgive(rec *v1alpha1.Restart, failed *metav1.Time) {
	window := s.job.Spec.RunPolicy.Restarts.WindowSeconds
	if window == nil || failed == nil || rec.Cause == nil || rec.Cause.Time == nil {
		return
	}
	if failed.Sub(rec.Cause.Time.Time) > seconds(window) {
		rec.Forgiven, rec.Peers = rec.Count+rec.InPlace, 0
	}
}

// lenient is true for a failure that only tells that another process is gone: the fault is the other's, or nobody's when its pod
// was taken away. There is an end to it, because such a failure can also be a network that never works.
func (s *state) lenient(rec v1alpha1.Restart, cause *v1alpha1.Failure) bool {
	return len(s.replicas) > 1 && peerLost(cause) && rec.Peers < leniency*max(1, budget(s.job))
}

// spent is true for a unit that failed once more than it may.
func (s *state) spent(rec v1alpha1.Restart) bool {
	return rec.Count+rec.InPlace-rec.Forgiven > budget(s.job)
}

// recordInPlace shows what the kubelet restarted in the pods there are. What it restarted in pods that are gone stays
// charged: otherwise deleting a pod would give a crashing program a new budget.
func (s *state) recordInPlace() {
	gone := s.unaccounted()
	for i := range s.job.Status.Restarts {
		rec := &s.job.Status.Restarts[i]
		n := gone[rec.Unit]
		rec.Count, rec.InPlace = rec.Count+n, rec.InPlace-n
	}
	for _, r := range s.replicas {
		if !r.current() || inPlace(r) == 0 {
			continue
		}
		if before := s.record(r.unit); inPlace(r) > before.InPlace {
			s.causes = append(s.causes, explain(r.pod, r.Role.MainName()))
		}
		s.setRecord(s.afterInPlace(r))
	}
}

// unaccounted are restarts in place, by unit, that a record shows and no pod does any more.
func (s *state) unaccounted() map[string]int32 {
	left := map[string]int32{}
	for _, rec := range s.job.Status.Restarts {
		if rec.InPlace > 0 {
			left[rec.Unit] = rec.InPlace
		}
	}
	for _, r := range s.replicas {
		if r.current() && left[r.unit] > 0 {
			left[r.unit] = max(0, left[r.unit]-inPlace(r))
		}
	}
	return left
}

// unitName is a unit at the beginning of a sentence.
func unitName(unit string) string {
	if unit == jobUnit {
		return "The job"
	}
	return unit
}
