// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

const (
	// pooled is how many different strings a pool knows before it starts anew. Those it gave out stay shared.
	pooled = 4096
	// long is from what length on a string is taken for one that nobody else has.
	long = 256
)

// pool gives equal strings one place in memory. Decoding makes a string anew for each object, and of the strings that caches keep
// most are the same in thousands of them: keys of labels, types and reasons of conditions, what they say.
type pool struct {
	mu    sync.Mutex
	known map[string]string
}

func newPool() *pool { return &pool{known: map[string]string{}} }

func (p *pool) of(s string) string {
	if s == "" || len(s) > long {
		return s
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if same, ok := p.known[s]; ok {
		return same
	}
	if len(p.known) >= pooled {
		clear(p.known)
	}
	p.known[s] = s
	return s
}

// share replaces strings by equal ones of the pool.
func share[S ~string](p *pool, strings ...*S) {
	for _, s := range strings {
		*s = S(p.of(string(*s)))
	}
}

// pod strips a pod and shares its strings.
func (p *pool) pod(o any) (any, error) {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil
	}
	stripPod(pod)
	p.meta(&pod.ObjectMeta)
	share(p, &pod.Spec.NodeName, &pod.Status.Reason, &pod.Status.Message)
	share(p, &pod.Spec.RestartPolicy)
	share(p, &pod.Status.Phase)
	p.containers(pod.Spec.Containers)
	p.containers(pod.Spec.InitContainers)
	for i := range pod.Status.Conditions {
		c := &pod.Status.Conditions[i]
		share(p, &c.Type)
		share(p, &c.Status)
		share(p, &c.Reason, &c.Message)
	}
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for i := range statuses {
			share(p, &statuses[i].Name)
		}
	}
	return pod, nil
}

// job drops of a job what nothing reads, and shares its strings. A job that was applied on the client's side has a copy of itself in
// an annotation.
func (p *pool) job(o any) (any, error) {
	job, ok := o.(*v1alpha1.TrainingJob)
	if !ok {
		return o, nil
	}
	job.ManagedFields = nil
	delete(job.Annotations, corev1.LastAppliedConfigAnnotation)
	p.meta(&job.ObjectMeta)
	share(p, &job.Spec.Framework)
	share(p, &job.Status.Phase)
	for i := range job.Spec.Roles {
		role := &job.Spec.Roles[i]
		share(p, &role.Name)
		p.containers(role.Template.Spec.Containers)
		p.containers(role.Template.Spec.InitContainers)
	}
	for i := range job.Status.Roles {
		share(p, &job.Status.Roles[i].Name)
	}
	p.conditions(job.Status.Conditions)
	return job, nil
}

func (p *pool) meta(m *metav1.ObjectMeta) {
	share(p, &m.Namespace)
	shared := make(map[string]string, len(m.Labels))
	for key, value := range m.Labels {
		shared[p.of(key)] = p.of(value)
	}
	if m.Labels != nil {
		m.Labels = shared
	}
	for i := range m.OwnerReferences {
		ref := &m.OwnerReferences[i]
		share(p, &ref.APIVersion, &ref.Kind, &ref.Name)
		share(p, &ref.UID)
	}
}

func (p *pool) containers(containers []corev1.Container) {
	for i := range containers {
		share(p, &containers[i].Name, &containers[i].Image)
	}
}

func (p *pool) conditions(conditions []metav1.Condition) {
	for i := range conditions {
		c := &conditions[i]
		share(p, &c.Type, &c.Reason, &c.Message)
		share(p, &c.Status)
	}
}
