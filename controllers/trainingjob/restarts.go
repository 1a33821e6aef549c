// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/names"
)

// The unit of a whole job, and the cap on the wait between two attempts.
const (
	jobUnit    = "job"
	maxBackoff = 5 * time.Minute
	// defaultBudget is the schema's default, for objects that were never defaulted.
	defaultBudget = 5
)

// unitOf is what restarts together with a member.
func unitOf(m framework.Member) string {
	switch m.Job.Spec.RunPolicy.Restarts.Scope {
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

func record(job *v1alpha1.TrainingJob, unit string) *v1alpha1.Restart {
	for i := range job.Status.Restarts {
		if job.Status.Restarts[i].Unit == unit {
			return &job.Status.Restarts[i]
		}
	}
	return nil
}

// attempts is the number of attempts of a member that are over: what is recorded for its replica, its role and its job.
func (s *state) attempts(m framework.Member) int32 {
	total := int32(0)
	for _, unit := range []string{jobUnit, names.Lower(m.Role.Name), replicaUnit(m)} {
		if r := record(s.job, unit); r != nil {
			total += r.Count + r.Lost
		}
	}
	return total
}

// charge is the number of restarts a failed pod costs: its own failure and those the kubelet restarted in place before.
func charge(p *corev1.Pod) int32 { return 1 + inPlace(p) }

// inPlace is the number of restarts the kubelet made in a pod.
func inPlace(p *corev1.Pod) int32 {
	total := int32(0)
	for _, c := range p.Status.ContainerStatuses {
		total += c.RestartCount
	}
	return total
}

// due is how long a replica's next pod still has to wait.
func (s *state) due(r replica) time.Duration {
	base := s.job.Spec.RunPolicy.Restarts.BackoffSeconds
	rec := record(s.job, unitOf(r.Member))
	if base == nil || *base == 0 || rec == nil || rec.Count == 0 || rec.Cause == nil || rec.Cause.Time == nil {
		return 0
	}
	wait := seconds(base)
	for range min(rec.Count-1, 16) {
		wait *= 2
	}
	return max(0, rec.Cause.Time.Add(min(wait, maxBackoff)).Sub(s.now))
}

// recordFailures counts the pods that failed and are to be replaced: once for each unit, by the failure that came first.
func (s *state) recordFailures() {
	counted := map[string]bool{}
	for _, f := range s.failures() {
		unit := unitOf(f.replica.Member)
		if counted[unit] {
			continue
		}
		counted[unit] = true
		s.record(unit, f)
	}
}

func (s *state) record(unit string, f failure) {
	rec := s.recordOf(unit)
	if f.lost {
		rec.Lost++
	} else {
		rec.Count += charge(f.replica.pod)
		rec.InPlace = max(0, rec.InPlace-inPlace(f.replica.pod))
	}
	rec.Cause = f.cause.DeepCopy()
}

func (s *state) recordOf(unit string) *v1alpha1.Restart {
	if rec := record(s.job, unit); rec != nil {
		return rec
	}
	s.job.Status.Restarts = append(s.job.Status.Restarts, v1alpha1.Restart{Unit: unit})
	return &s.job.Status.Restarts[len(s.job.Status.Restarts)-1]
}

// recordInPlace shows what the kubelet restarted in the pods there are. What it restarted in pods that are gone stays
// charged: otherwise deleting a pod would give a crashing program a new budget.
func (s *state) recordInPlace() {
	for i := range s.job.Status.Restarts {
		rec := &s.job.Status.Restarts[i]
		rec.Count += s.unaccounted(rec)
		rec.InPlace = 0
	}
	for _, r := range s.replicas {
		if !r.current() || inPlace(r.pod) == 0 {
			continue
		}
		rec := s.recordOf(unitOf(r.Member))
		rec.InPlace += inPlace(r.pod)
		if cause := explain(r.pod, r.Role.Main); cause.Container != "" {
			rec.Cause = cause
		}
	}
}

// unaccounted are restarts in place that a record shows and no pod does any more.
func (s *state) unaccounted(rec *v1alpha1.Restart) int32 {
	left := rec.InPlace
	for _, r := range s.replicas {
		if r.current() && unitOf(r.Member) == rec.Unit {
			left -= inPlace(r.pod)
		}
	}
	return max(0, left)
}
