// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package kueue

import (
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Object is a new Workload as it is written.
func (w *Workload) Object() *unstructured.Unstructured {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(w)
	if err != nil {
		panic(fmt.Sprintf("a Workload that does not convert: %v", err))
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(WorkloadKind)
	return u
}

// Target names the Workload for a patch or a deletion.
func (w *Workload) Target() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(WorkloadKind)
	u.SetNamespace(w.Namespace)
	u.SetName(w.Name)
	u.SetUID(w.UID)
	return u
}

// Read is an object of Kueue's in Go.
func Read[T any](u *unstructured.Unstructured) (*T, error) {
	var into T
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &into); err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", u.GetKind(), u.GetName(), err)
	}
	return &into, nil
}

// Foresee is the world when an object that is about to be made is there, if it is a Workload: it is admitted then.
func (w World) Foresee(o runtime.Object) World {
	u, loose := o.(*unstructured.Unstructured)
	if !loose || u.GroupVersionKind() != WorkloadKind {
		return w
	}
	made, err := Read[Workload](u)
	if err != nil {
		return w
	}
	for _, kind := range []string{QuotaReserved, Admitted} {
		made.Status.Conditions = with(made.Status.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionTrue})
	}
	w.Workload = made
	return w
}

// Template is a pod as a Workload tells of it: what it asks for and where it may run. What it does, and with what secrets in its
// environment, is nobody's concern there.
func Template(p *corev1.Pod) *corev1.PodTemplateSpec {
	t := &corev1.PodTemplateSpec{Spec: *p.Spec.DeepCopy()}
	t.Spec.Hostname, t.Spec.Subdomain = "", ""
	for _, containers := range [][]corev1.Container{t.Spec.InitContainers, t.Spec.Containers} {
		for i := range containers {
			c := &containers[i]
			containers[i] = corev1.Container{
				Name: c.Name, Image: c.Image, Resources: c.Resources, RestartPolicy: c.RestartPolicy, Ports: c.Ports, VolumeMounts: c.VolumeMounts,
			}
		}
	}
	return t
}

// SameSize is true when the Workload asks for the same numbers of pods, of the same priority, from the same queue.
func (w *Workload) SameSize(want Spec) bool {
	same := func(a, b PodSet) bool { return a.Name == b.Name && a.Count == b.Count && equal(a.MinCount, b.MinCount) }
	return slices.EqualFunc(w.Spec.PodSets, want.PodSets, same) && equal(w.Spec.Priority, want.Priority) &&
		equal(w.Spec.PriorityClassRef, want.PriorityClassRef)
}

func equal[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// patch is a merge patch that only fits the version of the Workload that was read: Kueue writes to it at the same time, and a list
// of conditions is replaced as a whole.
func (w *Workload) patch(fields map[string]any) []byte {
	fields["metadata"] = map[string]any{"resourceVersion": w.ResourceVersion}
	data, err := json.Marshal(fields)
	if err != nil {
		panic(fmt.Sprintf("a patch that is not JSON: %v", err))
	}
	return data
}

// Resize is the patch that makes a Workload without a reservation ask for something else.
func (w *Workload) Resize(want Spec) []byte {
	return w.patch(map[string]any{"spec": map[string]any{
		"podSets": want.PodSets, "priority": want.Priority, "priorityClassRef": want.PriorityClassRef,
	}})
}

// with are the conditions, one of them set.
func with(conditions []metav1.Condition, c metav1.Condition) []metav1.Condition {
	conditions = slices.Clone(conditions)
	i := slices.IndexFunc(conditions, func(old metav1.Condition) bool { return old.Type == c.Type })
	if i < 0 {
		return append(conditions, c)
	}
	if conditions[i].Status == c.Status {
		c.LastTransitionTime = conditions[i].LastTransitionTime
	}
	conditions[i] = c
	return conditions
}
