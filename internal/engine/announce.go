// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// announceConditions makes the events and counts the transitions between two stored statuses.
func (r *Reconciler[T, W]) announceConditions(before, after T, now time.Time) {
	for _, c := range after.GetConditions() {
		old := find(before.GetConditions(), c.Type)
		if old != nil && old.Status == c.Status && old.Reason == c.Reason {
			continue
		}
		r.count(old, c, now)
		if a, ok := r.announcement(c); ok {
			r.deps.Recorder.Eventf(after, nil, a.Type, c.Reason, c.Type, "%s", clip(c.Message))
		}
	}
}

// tally counts what happened between two stored statuses.
func (r *Reconciler[T, W]) tally(before, after T) {
	if r.Tally == nil {
		return
	}
	for _, c := range r.Tally(before, after) {
		occurrences.WithLabelValues(r.name, c.What, c.Variant).Add(float64(c.Times))
	}
}

// measure observes the steps that were reached between two stored statuses.
func (r *Reconciler[T, W]) measure(before, after T) {
	if r.Measure == nil {
		return
	}
	for _, d := range r.Measure(before, after) {
		steps.WithLabelValues(r.name, d.Step, d.Variant).Observe(d.Took.Seconds())
	}
}

func (r *Reconciler[T, W]) announcement(c metav1.Condition) (Announcement, bool) {
	for _, a := range r.Announce {
		if a.Condition == c.Type && a.Status == c.Status && (len(a.Reasons) == 0 || slices.Contains(a.Reasons, c.Reason)) {
			return a, true
		}
	}
	return Announcement{}, false
}

func (r *Reconciler[T, W]) count(old *metav1.Condition, c metav1.Condition, now time.Time) {
	transitions.WithLabelValues(r.name, c.Type, string(c.Status), c.Reason).Inc()
	if old == nil || old.Status == c.Status || old.LastTransitionTime.Unix() <= 0 {
		return
	}
	timeIn.WithLabelValues(r.name, c.Type, string(old.Status)).Observe(now.Sub(old.LastTransitionTime.Time).Seconds())
}

// named is how many objects an event names before it counts the rest.
const named = 3

// announceSteps makes one event for all steps of the same reason and cause.
func (r *Reconciler[T, W]) announceSteps(owner T, done []Step) {
	type group struct{ reason, why string }
	var order []group
	names := map[group][]string{}
	for _, s := range done {
		if s.Why == "" {
			continue
		}
		g := group{s.Reason, s.Why}
		if names[g] == nil {
			order = append(order, g)
		}
		names[g] = append(names[g], s.Object.GetName())
	}
	for _, g := range order {
		r.deps.Recorder.Eventf(owner, nil, corev1.EventTypeNormal, g.reason, g.reason, "%s", clip(list(names[g])+": "+g.why))
	}
}

func list(names []string) string {
	slices.Sort(names)
	if len(names) <= named {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:named], ", "), len(names)-named)
}

// clip keeps a note within the 1,024 bytes that the events API takes.
func clip(note string) string {
	const limit = 1000
	if len(note) <= limit {
		return note
	}
	return strings.ToValidUTF8(note[:limit], "") + "..."
}
