// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/framework"
)

// World is what a job's decisions are made from.
type World struct {
	// Pods are the pods the job owns, in any order and state.
	Pods []corev1.Pod
	// Events are of reason FailedMount and about pods that wait for their volumes.
	Events []corev1.Event
}

// FailedMount is the reason of the kubelet's events that say why a volume cannot be mounted: a Secret or ConfigMap that is
// not there, a disk that is elsewhere. The pod's status says nothing of it.
const FailedMount = "FailedMount"

// state is a job and its pods, member by member.
type state struct {
	job      *v1alpha1.TrainingJob
	layout   *framework.Layout
	now      time.Time
	replicas []replica
	// surplus are pods of members that the job no longer has.
	surplus []*corev1.Pod
	// unmounted says of pods, by UID, which volume cannot be mounted and why.
	unmounted map[types.UID]string
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
	s := &state{job: job, layout: layout, now: now, unmounted: unmounted(w.Events)}
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

// unmounted takes the first message about each pod in the order of the alphabet, as the kubelet alternates between two.
func unmounted(events []corev1.Event) map[types.UID]string {
	messages := map[types.UID]string{}
	for _, e := range events {
		message, found := messages[e.InvolvedObject.UID]
		if !found || e.Message < message {
			messages[e.InvolvedObject.UID] = e.Message
		}
	}
	return messages
}

// awaitsVolumes is true for a pod that has a node and no container that was ever made.
func awaitsVolumes(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodPending && p.Spec.NodeName != "" && !terminating(p)
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
