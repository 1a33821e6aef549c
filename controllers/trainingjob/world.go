// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/framework"
)

// World is what a job's decisions are made from.
type World struct {
	// Pods are the pods the job owns, in any order and state.
	Pods []corev1.Pod
}

// state is a job and its pods, member by member.
type state struct {
	job      *v1alpha1.TrainingJob
	layout   *framework.Layout
	now      time.Time
	replicas []replica
	// surplus are pods of members that the job no longer has.
	surplus []*corev1.Pod
}

// replica is a member and the pod that stands for it, if any.
type replica struct {
	framework.Member
	pod *corev1.Pod
	// attempt is the one wanted: the number of restarts recorded for the member's units.
	attempt int32
}

// look puts pods and members together. The job's framework is known.
func look(job *v1alpha1.TrainingJob, w World, now time.Time) *state {
	layout, _ := framework.Resolve(job)
	s := &state{job: job, layout: layout, now: now}
	pods := make(map[string]*corev1.Pod, len(w.Pods))
	for i := range w.Pods {
		pods[w.Pods[i].Name] = &w.Pods[i]
	}
	for _, m := range layout.Members() {
		name := m.Name()
		s.replicas = append(s.replicas, replica{Member: m, pod: pods[name], attempt: s.attempts(m)})
		delete(pods, name)
	}
	for _, p := range pods {
		if !terminating(p) {
			s.surplus = append(s.surplus, p)
		}
	}
	slices.SortFunc(s.surplus, func(a, b *corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// superseded is true for a pod of an attempt that is over.
func (r replica) superseded() bool { return r.pod != nil && attemptOf(r.pod) < r.attempt }

// current is true for a replica with a pod that counts: of this attempt, and not on its way out.
func (r replica) current() bool { return r.pod != nil && !r.superseded() && !terminating(r.pod) }

// running is true for a pod whose containers run; one between two starts does not.
func (r replica) running() bool {
	return r.current() && r.pod.Status.Phase == corev1.PodRunning && !crashed(r.pod)
}

func (r replica) succeeded() bool { return r.current() && r.pod.Status.Phase == corev1.PodSucceeded }

func (r replica) failed() bool { return r.current() && r.pod.Status.Phase == corev1.PodFailed }

func terminating(p *corev1.Pod) bool { return p.DeletionTimestamp != nil }

func finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func suspended(job *v1alpha1.TrainingJob) bool {
	return job.Spec.RunPolicy.Suspend != nil && *job.Spec.RunPolicy.Suspend
}
