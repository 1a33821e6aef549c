// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package kueue

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/millrace-ml/millrace/internal/names"
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

// Digest tells apart what pods ask for: their devices and other resources, and the nodes they may run on.
func Digest(pods []*corev1.Pod) string {
	type demand struct {
		Resources    []corev1.ResourceRequirements
		Claims       []corev1.PodResourceClaim
		NodeSelector map[string]string
		Affinity     *corev1.Affinity
		Tolerations  []corev1.Toleration
		RuntimeClass *string
	}
	var all []demand
	for _, p := range pods {
		d := demand{
			Claims: p.Spec.ResourceClaims, NodeSelector: p.Spec.NodeSelector, Affinity: p.Spec.Affinity, Tolerations: p.Spec.Tolerations,
			RuntimeClass: p.Spec.RuntimeClassName,
		}
		for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
			d.Resources = append(d.Resources, c.Resources)
		}
		all = append(all, d)
	}
	sum := sha256.Sum256(marshal(all))
	return hex.EncodeToString(sum[:8])
}

// Same is true when the Workload asks for what another does: the same numbers of pods, alike, of the same priority.
func (w *Workload) Same(want *Workload) bool {
	for _, key := range demands {
		if w.Annotations[key] != want.Annotations[key] {
			return false
		}
	}
	return slices.EqualFunc(w.Spec.PodSets, want.Spec.PodSets, samePods) && equal(w.Spec.Priority, want.Spec.Priority) &&
		equal(w.Spec.PriorityClassRef, want.Spec.PriorityClassRef)
}

// Fits is true when a Workload that somebody else made asks for the pods that another does. One that was not made by Millrace does not
// tell what they ask for.
func (w *Workload) Fits(want *Workload) bool {
	asks, told := w.Annotations[names.Asks]
	return slices.EqualFunc(w.Spec.PodSets, want.Spec.PodSets, samePods) && (!told || asks == want.Annotations[names.Asks])
}

func samePods(a, b PodSet) bool {
	return a.Name == b.Name && a.Count == b.Count && equal(a.MinCount, b.MinCount)
}

// Adopt is the patch that gives a Workload to the job it was made for.
func (w *Workload) Adopt(owner metav1.OwnerReference) []byte {
	return w.patch(map[string]any{"metadata": map[string]any{
		"ownerReferences": append(slices.Clone(w.OwnerReferences), owner), "labels": map[string]any{OwnerLabel: owner.UID},
	}})
}

// demands are the annotations that tell what the templates of a Workload's pods ask for. The cache does not keep those.
var demands = []string{names.Asks, names.Avoids}

func equal[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// patch is a merge patch that only fits the version of the Workload that was read: Kueue writes to it at the same time, and a list
// of conditions is replaced as a whole.
func (w *Workload) patch(fields map[string]any) []byte {
	metadata, ok := fields["metadata"].(map[string]any)
	if !ok {
		metadata = map[string]any{}
		fields["metadata"] = metadata
	}
	metadata["resourceVersion"] = w.ResourceVersion
	return marshal(fields)
}

func marshal(o any) []byte {
	data, err := json.Marshal(o)
	if err != nil {
		panic(fmt.Sprintf("not JSON: %v", err))
	}
	return data
}

// Resize is the patch that makes a Workload without a reservation ask for something else.
func (w *Workload) Resize(want *Workload) []byte {
	annotations := map[string]any{}
	for _, key := range demands {
		annotations[key] = nil
		if value, found := want.Annotations[key]; found {
			annotations[key] = value
		}
	}
	return w.patch(map[string]any{
		"metadata": map[string]any{"annotations": annotations},
		"spec": map[string]any{
			"podSets": want.Spec.PodSets, "priority": want.Spec.Priority, "priorityClassRef": want.Spec.PriorityClassRef,
		},
	})
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
