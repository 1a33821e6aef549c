// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
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
	w := gang.Waiting{Name: s.job.Namespace + "/" + s.job.Name, Created: s.job.CreationTimestamp.Time}
	if t := s.job.Status.RunningTime; t != nil {
		w.Ran = t.Time
	}
	for _, r := range s.replicas {
		if r.current() && hasNode(r.pod) && !finished(r.pod) {
			w.Placed++
		}
	}
	return w, s.guarded() && !s.since().IsZero() && !s.halted() && !s.gang.whole() && w.Placed > 0 && s.allMade()
}

// allMade is true when every pod of the start exists: until then nobody can say that one finds no place.
func (s *state) allMade() bool {
	return !slices.ContainsFunc(s.replicas, func(r replica) bool { return !r.current() && !r.done && !s.awaitsWorkers(r) })
}

// since is the time from which pods of the gang hold nodes for others that have none: when the first was placed, or the last
// that has no place was made.
func (s *state) since() time.Time {
	var first, last time.Time
	for _, r := range s.replicas {
		if !r.current() {
			continue
		}
		if !hasNode(r.pod) {
			last = later(last, r.pod.CreationTimestamp.Time)
			continue
		}
		if at := placedAt(r.pod); first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return later(first, last)
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
	patience := gang.Patience(me, s.world.Rivals, timeout, s.now)
	waited := s.now.Sub(s.since())
	next := waited.Truncate(timeout/looks) + timeout/looks
	return max(time.Second, min(next, max(patience, waited))-waited)
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
	if s.now.Sub(s.since()) < gang.Patience(me, s.world.Rivals, s.timeout(), s.now) {
		return
	}
	short, _ := s.find(unschedulable)
	g := s.standing()
	g.Releases++
	g.NextTry = new(metav1.NewTime(s.now.Add(gang.Backoff(string(s.job.UID), g.Releases)).Truncate(time.Second)))
	g.Short = clip(cmp.Or(short, "Pods of the gang found no node."), 1024)
	// What ran does no more.
	s.job.Status.RunningTime = nil
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

// rivalOf is a job as a gang of Guard that holds nodes and waits for more, by its status, and whether it is one.
func rivalOf(job *v1alpha1.TrainingJob) (gang.Waiting, bool) {
	g := job.Status.Gang
	if g == nil || g.Scheduler != v1alpha1.GangGuard || ended(job) || suspended(job) {
		return gang.Waiting{}, false
	}
	w := gang.Waiting{Name: job.Namespace + "/" + job.Name, Placed: g.Placed, Created: job.CreationTimestamp.Time}
	if t := job.Status.RunningTime; t != nil {
		w.Ran = t.Time
	}
	return w, g.Placed > 0 && g.Placed < g.MinMember
}
