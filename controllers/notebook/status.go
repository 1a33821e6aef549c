// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/culling"
)

// Report writes what is known of a notebook into its status. It is pure.
func Report(nb *v1alpha1.Notebook, w World, now time.Time) {
	s := look(nb, w, now)
	st := &nb.Status
	st.URL = w.Settings.Route.URL(s.path())
	s.times()
	if o, refused := s.objects(); refused {
		st.Conditions = inOrder(st.Conditions, s.rejected(o))
		st.Phase = v1alpha1.PhaseRejected
		return
	}
	s.failure()
	s.pending()
	st.Conditions = inOrder(st.Conditions, s.conditions())
	st.Phase = s.phase()
}

// Statuses in short, for the tables below.
const (
	yes     = metav1.ConditionTrue
	no      = metav1.ConditionFalse
	unknown = metav1.ConditionUnknown
)

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

// inOrder are conditions in their fixed order, with the times of those they replace.
func inOrder(old, now []metav1.Condition) []metav1.Condition {
	for i := range now {
		k := slices.IndexFunc(old, func(c metav1.Condition) bool { return c.Type == now[i].Type })
		if k >= 0 {
			now[i].LastTransitionTime = old[k].LastTransitionTime
		}
	}
	return now
}

// times records since when the pod is there, when the server was first up, when it was used, and when it is stopped by itself.
func (s *state) times() {
	st := &s.nb.Status
	st.StartTime, st.Culling = nil, s.culling.Terms()
	p := s.live()
	if p == nil {
		st.CullTime = nil
		return
	}
	st.StartTime = stamp(p.CreationTimestamp.Time)
	if up(p) && st.RunningTime == nil {
		st.RunningTime = stamp(s.now)
	}
	if a := s.activity(); a != nil && a.Fault == "" {
		st.LastActivity = stamp(a.Last.Time)
	}
	st.CullTime = s.cullTime()
}

// cullTime is the earliest of the times at which the server is stopped by itself, nil where there is none.
func (s *state) cullTime() *metav1.Time {
	if s.stop != nil {
		return nil
	}
	made := s.world.Pod.CreationTimestamp.Time
	var all []time.Time
	if last := s.nb.Status.LastActivity; s.culling.Idle > 0 && last != nil && s.tells() {
		used := last.Time
		if used.Before(made) {
			used = made
		}
		all = append(all, used.Add(s.culling.Idle))
	}
	if s.culling.Life > 0 {
		all = append(all, made.Add(s.culling.Life))
	}
	for _, schedule := range s.culling.Schedules {
		at := s.missed(schedule) // it stays until it has been acted upon
		if at.IsZero() {
			at = culling.NextStop(schedule, s.now)
		}
		if !at.IsZero() {
			all = append(all, at)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return stamp(slices.MinFunc(all, time.Time.Compare))
}

// tells is true of a server that is known to tell when it was used. What was known stays while it has not been asked again.
func (s *state) tells() bool {
	if a := s.activity(); a != nil {
		return a.Fault == ""
	}
	old := meta.FindStatusCondition(s.nb.Status.Conditions, v1alpha1.ConditionActivityKnown)
	return old != nil && old.Reason == v1alpha1.ReasonAnswered
}

// stamp is a time at the precision the API stores.
func stamp(t time.Time) *metav1.Time { return new(metav1.NewTime(t.Truncate(time.Second))) }

// failure records the last end of a container that was started again.
func (s *state) failure() {
	p := s.live()
	if p == nil {
		return
	}
	for _, c := range slices.Concat(p.Status.ContainerStatuses, p.Status.InitContainerStatuses) {
		end := c.LastTerminationState.Terminated
		if end == nil || end.ExitCode == 0 {
			continue
		}
		s.nb.Status.Failure = &v1alpha1.Failure{
			Pod: p.Name, Container: c.Name, Node: p.Spec.NodeName, ExitCode: &end.ExitCode, Reason: clip(end.Reason, 128),
			Message: tail(end.Message), Time: stamp(end.FinishedAt.Time),
		}
		return
	}
}

// tail are the last bytes of a text, from the beginning of a line.
func tail(text string) string {
	const most = 2048
	text = strings.TrimSpace(strings.ToValidUTF8(text, "?"))
	if len(text) <= most {
		return text
	}
	text = text[len(text)-most:]
	if _, rest, found := strings.Cut(text, "\n"); found {
		text = rest
	}
	return strings.TrimSpace(strings.ToValidUTF8(text, ""))
}

func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}

// pending lists the changes that wait, but for those of cpu and memory that are on their way, and forgets a refused resize that nobody
// asks for any more.
func (s *state) pending() {
	st := &s.nb.Status
	if r := st.ResizeRefused; r != nil && (r.Resources != amounts(s.nb) || s.live() == nil || !s.resizes()) {
		st.ResizeRefused = nil
	}
	st.PendingChanges = nil
	if s.live() == nil || s.stop != nil {
		return
	}
	for _, c := range s.changes {
		_, inPlace := scalable[c.Field]
		if !inPlace || st.ResizeRefused != nil || !s.resizes() {
			st.PendingChanges = append(st.PendingChanges, c)
		}
	}
}

// phase sums the notebook up in one word.
func (s *state) phase() string {
	running := s.running()
	switch {
	case s.stop != nil && s.world.Pod == nil:
		return v1alpha1.PhaseStopped
	case s.stop != nil || s.world.Pod != nil && terminating(s.world.Pod):
		return v1alpha1.PhaseStopping
	case running.Status == yes:
		return v1alpha1.PhaseRunning
	case slices.Contains(failed, running.Reason):
		return v1alpha1.PhaseFailed
	case s.world.Pod != nil && s.world.Pod.Spec.NodeName != "":
		return v1alpha1.PhaseStarting
	}
	return v1alpha1.PhasePending
}

// failed are the reasons for which a server does not run that do not pass by themselves.
var failed = []string{v1alpha1.ReasonPodCannotStart, v1alpha1.ReasonServerCrashed, v1alpha1.ReasonPodRefused}

// canWait is true when conditions only took a step on the normal way to running, or back to nothing.
func canWait(before, after *v1alpha1.Notebook) bool {
	steps := []string{v1alpha1.PhasePending, v1alpha1.PhaseStarting, v1alpha1.PhaseStopping}
	return before.Status.ObservedGeneration == after.Status.ObservedGeneration && slices.Contains(steps, after.Status.Phase) &&
		len(before.Status.PendingChanges) == len(after.Status.PendingChanges)
}
