// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/accelerator"
)

// requestsOf is what pods hold together or, when all have ended, what they held.
func requestsOf(pods []corev1.Pod) corev1.ResourceList {
	sum := corev1.ResourceList{}
	over := !slices.ContainsFunc(pods, func(p corev1.Pod) bool { return accelerator.Holds(&p) })
	for i := range pods {
		if pods[i].Spec.NodeName == "" || !over && !accelerator.Holds(&pods[i]) {
			continue
		}
		for name, each := range resource.PodRequests(&pods[i], resource.PodResourcesOptions{}) {
			total := sum[name]
			total.Add(each)
			sum[name] = total
		}
	}
	return sum
}

// beganAt is when the first container of some pods started; the zero time when none did.
func beganAt(pods []corev1.Pod) time.Time {
	var starts []time.Time
	for i := range pods {
		for _, s := range pods[i].Status.ContainerStatuses {
			starts = append(starts, startOf(s.LastTerminationState), startOf(s.State))
		}
	}
	starts = slices.DeleteFunc(starts, time.Time.IsZero)
	if len(starts) == 0 {
		return time.Time{}
	}
	return slices.MinFunc(starts, time.Time.Compare)
}

func startOf(s corev1.ContainerState) time.Time {
	switch {
	case s.Terminated != nil:
		return s.Terminated.StartedAt.Time
	case s.Running != nil:
		return s.Running.StartedAt.Time
	}
	return time.Time{}
}

// mostRequests is how many resources a status has.
const mostRequests = 16

// most is of each resource what was written or, where that is more, what is held now.
func most(written []v1alpha1.ResourceRequest, now corev1.ResourceList) []v1alpha1.ResourceRequest {
	highest := maps.Clone(now)
	for _, w := range written {
		if q := highest[corev1.ResourceName(w.Resource)]; w.Quantity != nil && w.Quantity.Cmp(q) > 0 {
			if highest == nil {
				highest = corev1.ResourceList{}
			}
			highest[corev1.ResourceName(w.Resource)] = *w.Quantity
		}
	}
	var all []v1alpha1.ResourceRequest
	for _, name := range slices.Sorted(maps.Keys(highest)) {
		if q := highest[name]; len(all) < mostRequests && !q.IsZero() {
			all = append(all, v1alpha1.ResourceRequest{Resource: string(name), Quantity: &q})
		}
	}
	return all
}
