// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// lines is how much of what a container wrote is told.
const lines = 600

// causeOf words how the first container failed: that of the others often follows from it.
func causeOf(pods []corev1.Pod) string {
	var first *corev1.ContainerStateTerminated
	var said string
	for i := range pods {
		p := &pods[i]
		for _, s := range p.Status.ContainerStatuses {
			for _, end := range []*corev1.ContainerStateTerminated{s.LastTerminationState.Terminated, s.State.Terminated} {
				if end != nil && end.ExitCode != 0 && (first == nil || end.FinishedAt.Before(&first.FinishedAt)) {
					first, said = end, fmt.Sprintf("pod %s, container %s: exit code %d%s", p.Name, s.Name, end.ExitCode, reasonOf(end))
				}
			}
		}
	}
	if first == nil {
		return ""
	}
	if text := strings.TrimSpace(first.Message); text != "" {
		said += ": " + strings.ToValidUTF8(text[max(0, len(text)-lines):], "")
	}
	return said
}

func reasonOf(end *corev1.ContainerStateTerminated) string {
	if end.Reason == "" || end.Reason == "Error" {
		return ""
	}
	return " (" + end.Reason + ")"
}
