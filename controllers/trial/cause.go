// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// lines is how much of what a container wrote is told.
const lines = 600

// failure is the end of a container.
type failure struct {
	*corev1.ContainerStateTerminated
	where string
}

// causeOf words how the first container failed: that of the others often follows from it.
func causeOf(pods []corev1.Pod) string {
	var all []failure
	for i := range pods {
		for _, s := range pods[i].Status.ContainerStatuses {
			where := fmt.Sprintf("pod %s, container %s", pods[i].Name, s.Name)
			all = append(all, failure{s.LastTerminationState.Terminated, where}, failure{s.State.Terminated, where})
		}
	}
	all = slices.DeleteFunc(all, func(f failure) bool { return f.ContainerStateTerminated == nil || f.ExitCode == 0 })
	if len(all) == 0 {
		return ""
	}
	first := slices.MinFunc(all, func(a, b failure) int { return a.FinishedAt.Compare(b.FinishedAt.Time) })
	said := fmt.Sprintf("%s: exit code %d%s", first.where, first.ExitCode, reasonOf(first.ContainerStateTerminated))
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
