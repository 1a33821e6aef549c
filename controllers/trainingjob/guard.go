// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/checkpoint"
	"github.com/millrace-ml/millrace/internal/gang"
)

// eventRelease is the reason of events that tell of pods that were placed in vain.
const eventRelease = "GangReleased"

// looks is how often in its timeout a gang of Guard that waits looks at the others.
const looks = 8

// releases is how often pods of a job were released.
func releases(job *v1alpha1.TrainingJob) int32 {
	if job.Status.Gang == nil {
		return 0
	}
	return job.Status.Gang.Releases
}

// guarded is true for a gang that no scheduler places whole.
func (s *state) guarded() bool { return s.gang != nil && s.gang.row.Name == v1alpha1.GangGuard }

// waiting is the gang of a job as the others see it, and whether it holds nodes and waits for more.
func (s *state) waiting() (gang.Waiting, bool) {
	w := rival(s.job, 0)
	for _, r := range s.replicas {
		if r.current() && hasNode(r.pod) && !finished(r.pod) {
			w.Placed++
		}
	}
	return w, s.guarded() && !s.since().IsZero() && !s.halted() && !s.gang.whole() && w.Placed > 0
}

// unmade is the first pod of the start that does not exist.
func (s *state) unmade() (replica, bool) {
	i := slices.IndexFunc(s.replicas, s.lacking)
	if i < 0 {
		return replica{}, false
	}
	return s.replicas[i], true
}

// lacking is true for a replica whose pod is to be made.
func (s *state) lacking(r replica) bool { return !r.current() && !r.done && !s.awaitsWorkers(r) }

// since is the time from which pods of the gang hold nodes for others that have none: when the first was placed, or the last
// that has no place was made, or could have been.
func (s *state) since() time.Time {
	var first, last time.Time
	for _, r := range s.replicas {
		switch {
		case s.lacking(r):
			last = later(last, s.makable(r))
		case !r.current():
		case !hasNode(r.pod):
			last = later(last, r.pod.CreationTimestamp.Time)
		default:
			if at := placedAt(r.pod); first.IsZero() || at.Before(first) {
				first = at
			}
		}
	}
	return later(first, last)
}

// makable is since when a replica's pod could have been made: when the one before it should have ended, or its turn came after
// a restart. A loss is recorded first, and a job that grew while it ran goes on with the pods it has.
func (s *state) makable(r replica) time.Time {
	turn := s.turn(r)
	switch {
	case r.pod != nil && terminating(r.pod):
		return later(turn, r.pod.DeletionTimestamp.Time)
	case r.pod != nil, r.vanished, turn.IsZero() && s.job.Status.RunningTime != nil:
		return s.now
	}
	return turn
}

// placedAt is when a pod got its node.
func placedAt(p *corev1.Pod) time.Time {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionTrue {
			return c.LastTransitionTime.Time
		}
	}
	return p.CreationTimestamp.Time
}

// untilRelease is when a gang that waits must be looked at again, 0 for one that does not. It looks at the others from time to
// time: they do not wake it.
func (s *state) untilRelease() time.Duration {
	me, waits := s.waiting()
	if !waits {
		return 0
	}
	timeout := s.timeout()
	patience := s.patience(me)
	if _, found := s.unmade(); found {
		return max(time.Second, s.since().Add(patience).Sub(s.now))
	}
	waited := s.now.Sub(s.since())
	next := waited.Truncate(timeout/looks) + timeout/looks
	return max(time.Second, min(next, max(patience, waited))-waited)
}

// patience is how long the gang may hold nodes. As long as a pod is not made nobody can say that it finds no place, and the others
// have all of the time.
func (s *state) patience(me gang.Waiting) time.Duration {
	if _, found := s.unmade(); found {
		return s.timeout()
	}
	return gang.Patience(me, s.world.Rivals, s.timeout(), s.now)
}

func (s *state) timeout() time.Duration { return time.Duration(s.gang.Timeout) * time.Second }

// release records that the placed pods are let go, when the rest found no place in time. They are deleted once this is stored.
// Losses that this pass records come first, and so does a success that is not stored yet.
func (s *state) release() {
	me, waits := s.waiting()
	unsaved := slices.ContainsFunc(s.replicas, func(r replica) bool { return r.succeeded() && !r.done })
	if !waits || unsaved || len(s.causes) > 0 {
		return
	}
	if s.now.Sub(s.since()) < s.patience(me) {
		return
	}
	s.recordRelease()
	g := s.standing()
	g.Releases++
	g.NextTry = new(metav1.NewTime(s.now.Add(gang.Backoff(string(s.job.UID), g.Releases)).Truncate(time.Second)))
	g.Short = clip(s.short(), 1024)
	// What ran does no more.
	s.job.Status.RunningTime = nil
}

// short is what a gang waits for: a node for a pod, or a pod that is not made, and why, as far as it is known.
func (s *state) short() string {
	if message, found := s.find(unschedulable); found {
		return message
	}
	r, found := s.unmade()
	switch refusal := meta.FindStatusCondition(s.job.Status.Conditions, v1alpha1.ConditionScheduled); {
	case !found:
		return "Pods of the gang found no node."
	case s.wait != nil:
		return s.wait.message
	case refusal != nil && slices.Contains([]string{v1alpha1.ReasonQuotaExceeded, v1alpha1.ReasonRefused}, refusal.Reason):
		return refusal.Message
	}
	return fmt.Sprintf("Pod %s was not made.", r.Name())
}

// awaitsTry: a gang that was released comes back when its time has come, its old pods are gone, and no other gang holds nodes while
// it waits for more: two that come back to each other would only part again. It lets others pass for as long as its own timeout.
func awaitsTry(s *state) (wait, bool) {
	g := s.job.Status.Gang
	if !s.guarded() || g == nil || g.NextTry == nil {
		return wait{}, false
	}
	w := wait{status: no, reason: v1alpha1.ReasonGangReleased, message: "Placed pods were released because the rest of the gang found no place in time, and are made again at status.gang.nextTry. What was short: " + g.Short}
	if left := g.NextTry.Sub(s.now); left > 0 {
		w.again = left
		return w, true
	}
	if len(s.outdated) > 0 {
		return w, true
	}
	present := slices.ContainsFunc(s.replicas, func(r replica) bool { return r.current() })
	left := g.NextTry.Add(s.timeout()).Sub(s.now)
	if me := s.job.Namespace + "/" + s.job.Name; !present && left > 0 && len(gang.Others(s.world.Rivals, me)) > 0 {
		w.again = min(left, max(time.Second, s.timeout()/looks))
		return w, true
	}
	return wait{}, false
}

// parted is true for a failure of before a release: since then it is the gang that the job waits for.
func (s *state) parted(f *v1alpha1.Failure) bool {
	g := s.job.Status.Gang
	return g != nil && g.NextTry != nil && timeOf(f).Before(g.NextTry.Time)
}

// parting is why a pod of an attempt that is over is deleted.
func (s *state) parting() (reason, why string) {
	if g := s.job.Status.Gang; g != nil && g.NextTry != nil && s.wait != nil && s.wait.reason == v1alpha1.ReasonGangReleased {
		return eventRelease, "the rest of the gang found no place in time"
	}
	return eventRestart, "a new attempt begins"
}

// rival is a job by what its status says it loses, so that it and the others judge it alike.
func rival(job *v1alpha1.TrainingJob, placed int32) gang.Waiting {
	w := gang.Waiting{Name: job.Namespace + "/" + job.Name, Placed: placed, Created: job.CreationTimestamp.Time}
	if job.Status.RunningTime == nil {
		return w
	}
	w.Ran = checkpoint.Since(job, nil)
	for _, rec := range job.Status.Restarts {
		if rec.Unit == jobUnit {
			w.Ran = later(w.Ran, stoppedBy(rec))
		}
	}
	return w
}

// rivalOf is a job as a gang of Guard that holds nodes and waits for more, by its status, and whether it is one.
func rivalOf(job *v1alpha1.TrainingJob) (gang.Waiting, bool) {
	g := job.Status.Gang
	if g == nil || g.Scheduler != v1alpha1.GangGuard || ended(job) || suspended(job) || dispatched(job) {
		return gang.Waiting{}, false
	}
	return rival(job, g.Placed), g.Placed > 0 && g.Placed < g.MinMember
}
