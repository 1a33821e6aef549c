// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/culling"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/names"
)

// Reasons of the events that tell of what is done to a notebook by itself.
const (
	eventCull    = "Culled"
	eventStart   = "Started"
	eventRestart = "Restarted"
	eventReplace = "Replaced"
	eventResize  = "Resized"
	eventUnroute = "Unrouted"
	eventForget  = "SnapshotDeleted"
)

// stopOf is why a notebook has no server, nil where it is to have one. Whoever stops it, it is a field or an annotation.
func stopOf(nb *v1alpha1.Notebook) *reason {
	if nb.Spec.Stopped != nil && *nb.Spec.Stopped {
		return &reason{v1alpha1.ReasonStoppedBySpec, "spec.stopped is true."}
	}
	at, stopped := nb.Annotations[names.Stopped]
	if !stopped {
		return nil
	}
	for _, known := range []reason{
		{v1alpha1.ReasonIdle, "It was idle for longer than its culling policy allows"},
		{v1alpha1.ReasonMaxLife, "It ran for as long as its culling policy allows"},
		{v1alpha1.ReasonScheduled, "A schedule of its culling policy stopped it"},
	} {
		// Earlier managers wrote the word alone.
		if got := nb.Annotations[names.StoppedBecause]; got == because(known.word, at) || got == known.word {
			return &reason{known.word, fmt.Sprintf("%s (%s); mill notebook start %s starts it again.", known.message, at, nb.Name)}
		}
	}
	return &reason{v1alpha1.ReasonStoppedByAnnotation, fmt.Sprintf("The annotation %s is there; mill notebook start %s removes it.", names.Stopped, nb.Name)}
}

// because is the annotation beside the one that stops a notebook at a time. It names the time too: other dashboards know of the one annotation
// alone, and what they stop later is not stopped by us.
func because(word, at string) string { return word + " " + at }

// culls are asked in order whether a server that runs is to be stopped by itself.
var culls = []func(*state) (reason, bool){worn, due, idle}

// cull is why the server is to be stopped, if it is.
func (s *state) cull() (reason, bool) {
	if s.stop != nil || s.live() == nil {
		return reason{}, false
	}
	for _, ask := range culls {
		if r, raised := ask(s); raised {
			return r, true
		}
	}
	return reason{}, false
}

// worn: it has run for as long as it may.
func worn(s *state) (reason, bool) {
	over := s.culling.Life > 0 && s.age() >= s.culling.Life
	return reason{v1alpha1.ReasonMaxLife, fmt.Sprintf("it has run for %s, which is the most it may", s.culling.Life)}, over
}

// due: the time of a schedule has come since the pod was made. One that somebody starts after that time runs until the next.
func due(s *state) (reason, bool) {
	for _, schedule := range s.culling.Schedules {
		if at := s.missed(schedule); !at.IsZero() {
			return reason{v1alpha1.ReasonScheduled, fmt.Sprintf("the schedule %q (%s) says so", schedule.Stop, schedule.TimeZone)}, true
		}
	}
	return reason{}, false
}

// missed is the time of a schedule that has come, none where it has not. Times before the one that status.cullTime told last do not count: the
// schedule was not there yet, and whoever adds one does not mean to stop a server at work.
func (s *state) missed(schedule v1alpha1.Schedule) time.Time {
	told, made := s.nb.Status.CullTime, s.world.Pod.CreationTimestamp.Time
	if told == nil || told.After(s.now) {
		return time.Time{}
	}
	since := told.Add(-time.Second)
	if since.Before(made) {
		since = made
	}
	at := culling.NextStop(schedule, since)
	if at.After(s.now) {
		return time.Time{}
	}
	return at
}

// idle: it was asked just now, and was not used for too long.
func idle(s *state) (reason, bool) {
	a := s.activity()
	over := s.culling.Idle > 0 && a != nil && a.Fault == "" && !a.Idle.IsZero() && s.now.Sub(a.Idle.Time) <= fresh
	return reason{v1alpha1.ReasonIdle, fmt.Sprintf("nothing was used for %s", s.culling.Idle)}, over
}

// activity is what is known of the pod that there is.
func (s *state) activity() *Activity {
	if a, p := s.world.Activity, s.live(); a != nil && p != nil && a.Pod == p.UID {
		return a
	}
	return nil
}

func (s *state) age() time.Duration { return s.now.Sub(s.world.Pod.CreationTimestamp.Time) }

// started is the time of a schedule that starts a server which a schedule has stopped: the first since then that has come.
func (s *state) started() (v1alpha1.Schedule, bool) {
	if s.stop == nil || s.stop.word != v1alpha1.ReasonScheduled {
		return v1alpha1.Schedule{}, false
	}
	for _, schedule := range s.culling.Schedules {
		if at := culling.NextStart(schedule, s.stoppedAt()); !at.IsZero() && !at.After(s.now) {
			return schedule, true
		}
	}
	return v1alpha1.Schedule{}, false
}

// stoppedAt is when the notebook was stopped, as its annotation says; now when that cannot be read.
func (s *state) stoppedAt() time.Time {
	at, err := time.Parse(time.RFC3339, s.nb.Annotations[names.Stopped])
	if err != nil {
		return s.now
	}
	return at
}

// until is the time to the next turn of the clock that matters: a schedule's, or the end of the longest life.
func (s *state) until() time.Duration {
	var all []time.Duration
	for _, schedule := range s.culling.Schedules {
		switch {
		case s.stop != nil && s.stop.word == v1alpha1.ReasonScheduled:
			all = append(all, s.wait(culling.NextStart(schedule, s.now)))
		case s.stop == nil && s.live() != nil:
			all = append(all, s.wait(culling.NextStop(schedule, s.now)))
		}
	}
	if s.stop == nil && s.live() != nil && s.culling.Life > 0 {
		all = append(all, s.culling.Life-s.age())
	}
	return max(engine.Soonest(all...), 0)
}

func (s *state) wait(at time.Time) time.Duration {
	if at.IsZero() {
		return 0
	}
	return at.Sub(s.now)
}

// note changes annotations of the notebook itself, which only that and no spec can tell.
func (s *state) note(event, why string, annotations map[string]any) engine.Step {
	self := &unstructured.Unstructured{}
	self.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(Name))
	self.SetName(s.nb.Name)
	self.SetNamespace(s.nb.Namespace)
	self.SetUID(s.nb.UID)
	data, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		panic(err) // only of types that JSON cannot hold
	}
	return engine.Step{Object: self, Reason: event, Why: why, Data: data}
}
