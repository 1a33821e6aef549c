// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package kueue

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Waits is true for a Workload that stands in its queue.
func (w *Workload) Waits() bool {
	return w.Active() && !w.Is(QuotaReserved) && !w.Is(Finished)
}

// Ahead counts the Workloads of the same LocalQueue, among those of its namespace, that Kueue looks at before this one: of higher
// priority, or of the same and longer in line. It reads them as they are in a cache, and changes none.
func (w *Workload) Ahead(all []unstructured.Unstructured) int {
	me, ahead := placeOf(w.Spec.Priority, since(w.CreationTimestamp, w.Condition(Evicted)), string(w.UID)), 0
	for i := range all {
		o := &all[i]
		if name, _, _ := unstructured.NestedString(o.Object, "spec", "queueName"); name != w.Spec.QueueName || o.GetUID() == w.UID || !stands(o) {
			continue
		}
		if them := standing(o); them.before(me) {
			ahead++
		}
	}
	return ahead
}

// place is what a line is ordered by.
type place struct {
	priority int64
	since    time.Time
	uid      string
}

func placeOf(priority *int32, since time.Time, uid string) place {
	p := place{since: since, uid: uid}
	if priority != nil {
		p.priority = int64(*priority)
	}
	return p
}

func (p place) before(other place) bool {
	return cmp.Or(cmp.Compare(other.priority, p.priority), p.since.Compare(other.since), cmp.Compare(p.uid, other.uid)) < 0
}

// delayed are reasons of evictions after which a Workload goes to the end of its line.
var delayed = []string{"PodsReadyTimeout", ByCheck}

// since is from when on a Workload is in its line.
func since(made metav1.Time, evicted metav1.Condition) time.Time {
	if evicted.Status == metav1.ConditionTrue && slices.Contains(delayed, evicted.Reason) {
		return evicted.LastTransitionTime.Time
	}
	return made.Time
}

// stands is Waits for a Workload as it is in a cache.
func stands(o *unstructured.Unstructured) bool {
	active, set, _ := unstructured.NestedBool(o.Object, "spec", "active")
	return o.GetDeletionTimestamp() == nil && (!set || active) && !is(o, QuotaReserved) && !is(o, Finished)
}

func standing(o *unstructured.Unstructured) place {
	evicted := metav1.Condition{}
	if c := conditionOf(o, Evicted); c != nil {
		evicted.Status, evicted.Reason = metav1.ConditionStatus(text(c, "status")), text(c, "reason")
		if at, err := time.Parse(time.RFC3339, text(c, "lastTransitionTime")); err == nil {
			evicted.LastTransitionTime = metav1.NewTime(at)
		}
	}
	p := place{since: since(o.GetCreationTimestamp(), evicted), uid: string(o.GetUID())}
	p.priority, _, _ = unstructured.NestedInt64(o.Object, "spec", "priority")
	return p
}

func is(o *unstructured.Unstructured, kind string) bool {
	c := conditionOf(o, kind)
	return c != nil && text(c, "status") == string(metav1.ConditionTrue)
}

func conditionOf(o *unstructured.Unstructured, kind string) map[string]any {
	field, _, _ := unstructured.NestedFieldNoCopy(o.Object, "status", "conditions")
	list, _ := field.([]any)
	for _, entry := range list {
		if c, ok := entry.(map[string]any); ok && c["type"] == kind {
			return c
		}
	}
	return nil
}

func text(c map[string]any, key string) string {
	s, _ := c[key].(string)
	return s
}

// Position is the place of a Workload with so many ahead, from 1: to the number up to ten, and rounded up to 20, 50, 100, 200 and so on
// beyond, so that a long line that moves is not written down at each step.
func Position(ahead int) int32 {
	n := int32(min(ahead, mostAhead)) + 1
	for bound := int32(10); n > 10; bound *= 10 {
		for _, step := range []int32{1, 2, 5} {
			if n <= bound*step {
				return bound * step
			}
		}
	}
	return n
}

// mostAhead bounds what is told apart.
const mostAhead = 99999
