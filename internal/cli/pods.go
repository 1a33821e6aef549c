// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// roleOrder is the position of each role, in lower case, in the job's list.
func roleOrder(job *v1alpha1.TrainingJob) map[string]int {
	order := map[string]int{}
	for i, r := range job.Spec.Roles {
		order[names.Lower(r.Name)] = i
	}
	return order
}

// indexOf is a pod's index in its role.
func indexOf(p *corev1.Pod) int { return label(p, names.Index) }

// attemptOf is how often a pod's replica was replaced before it.
func attemptOf(p *corev1.Pod) int { return label(p, names.Attempt) }

// label is a numeric label, and 0 when there is none.
func label(p *corev1.Pod, name string) int {
	n, err := strconv.Atoi(p.Labels[name])
	if err != nil {
		return 0
	}
	return n
}

// replicaOf names a pod within its job, such as master-0.
func replicaOf(p *corev1.Pod) string { return p.Labels[names.Role] + "-" + p.Labels[names.Index] }

// containerRestarts is how often the kubelet started containers of a pod again.
func containerRestarts(p *corev1.Pod) int {
	total := 0
	for _, c := range p.Status.ContainerStatuses {
		total += int(c.RestartCount)
	}
	return total
}

// podStatus is a pod's phase, or the reason that says more.
func podStatus(p *corev1.Pod) string {
	if p.DeletionTimestamp != nil {
		return "Terminating"
	}
	if p.Status.Reason != "" {
		return p.Status.Reason
	}
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for _, c := range list {
			if reason := unusual(c.State); reason != "" {
				return reason
			}
		}
	}
	return string(p.Status.Phase)
}

// unusual is why a container waits or failed.
func unusual(s corev1.ContainerState) string {
	switch {
	case s.Waiting != nil && s.Waiting.Reason != "PodInitializing":
		return s.Waiting.Reason
	case s.Terminated != nil && s.Terminated.ExitCode != 0 && s.Terminated.Reason != "Error":
		return s.Terminated.Reason
	}
	return ""
}
