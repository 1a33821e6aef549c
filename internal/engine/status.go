// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// settle gives every condition the generation it speaks of, and the time at which its status last changed.
func settle(before []metav1.Condition, after Owner, now time.Time) {
	conditions := slices.Clone(after.GetConditions())
	for i := range conditions {
		c := &conditions[i]
		c.ObservedGeneration = after.GetGeneration()
		old := find(before, c.Type)
		if old != nil && old.Status == c.Status && !old.LastTransitionTime.IsZero() && old.LastTransitionTime.Unix() > 0 {
			c.LastTransitionTime = old.LastTransitionTime
			continue
		}
		c.LastTransitionTime = metav1.NewTime(now.Truncate(time.Second))
	}
	after.SetConditions(conditions)
}

func find(conditions []metav1.Condition, kind string) *metav1.Condition {
	for i := range conditions {
		if conditions[i].Type == kind {
			return &conditions[i]
		}
	}
	return nil
}

// withConditions replaces conditions by type and adds those that are new.
func withConditions(conditions []metav1.Condition, with ...metav1.Condition) []metav1.Condition {
	conditions = slices.Clone(conditions)
	for _, c := range with {
		if old := find(conditions, c.Type); old != nil {
			*old = c
			continue
		}
		conditions = append(conditions, c)
	}
	return conditions
}

// store writes the status when it changed, in one patch, and announces what changed once it is stored. It returns when
// to come back for a change that may wait; the pass that comes back works the status out anew, so nothing is lost.
func (r *Reconciler[T, W]) store(ctx context.Context, m *memory, before, after T, patient bool) (time.Duration, error) {
	if equality.Semantic.DeepEqual(before, after) {
		return 0, nil
	}
	now := r.deps.Clock.Now()
	m.beat = m.beat.seen(now)
	if wait := m.beat.wait(now, patient, r.Hurries != nil && r.Hurries(before, after)); wait > 0 {
		return wait, nil
	}
	// The patch carries the resourceVersion that was decided on: a count of restarts worked out from a stale object
	// must not overwrite a newer one.
	stored := any(copyOf(after)).(client.Object)
	if err := r.deps.Client.Status().Patch(ctx, stored, optimistic(before), client.FieldOwner(FieldManager)); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return 0, nil
		}
		return 0, fmt.Errorf("writing status: %w", err)
	}
	m.beat = m.beat.wrote(now, patient)
	writes.WithLabelValues(r.name, "status", "ok").Inc()
	r.announceConditions(before, after, now)
	r.measure(before, after)
	r.tally(before, after)
	return 0, nil
}
