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

// requestsOf is what pods hold together now.
func requestsOf(pods []corev1.Pod) corev1.ResourceList {
	sum := corev1.ResourceList{}
	for i := range pods {
		if !accelerator.Holds(&pods[i]) {
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

// turn is a pod that comes to hold what it requests, or leaves it.
type turn struct {
	at    time.Time
	pod   *corev1.Pod
	leave bool
}

// heldBy is the most of each resource that pods which had a node held at once: steps and retries run one after another.
func heldBy(pods []corev1.Pod) corev1.ResourceList {
	var turns []turn
	for i := range pods {
		if pods[i].Spec.NodeName == "" {
			continue
		}
		from, until := ranFrom(&pods[i]), ranUntil(&pods[i])
		turns = append(turns, turn{from, &pods[i], false})
		if !until.After(from) {
			until = from.Add(1) // what ran for less than a second was there
		}
		turns = append(turns, turn{until, &pods[i], true})
	}
	slices.SortStableFunc(turns, func(a, b turn) int {
		if c := a.at.Compare(b.at); c != 0 || a.leave == b.leave {
			return c
		}
		if a.leave {
			return -1
		}
		return 1
	})
	sum, highest := corev1.ResourceList{}, corev1.ResourceList{}
	for _, turn := range turns {
		for name, each := range resource.PodRequests(turn.pod, resource.PodResourcesOptions{}) {
			total := sum[name].DeepCopy()
			if turn.leave {
				each.Neg()
			}
			total.Add(each)
			if sum[name] = total; total.Cmp(highest[name]) > 0 {
				highest[name] = total
			}
		}
	}
	return highest
}

// ranFrom is when a pod came to run or, where its kubelet does not say, was made.
func ranFrom(p *corev1.Pod) time.Time {
	if began := beganAt([]corev1.Pod{*p}); !began.IsZero() {
		return began
	}
	return p.CreationTimestamp.Time
}

// ranUntil is when the last container of a pod ended; for one that holds its node still that is not yet.
func ranUntil(p *corev1.Pod) time.Time {
	if accelerator.Holds(p) {
		return endless
	}
	var end time.Time
	for _, s := range p.Status.ContainerStatuses {
		if s.State.Terminated != nil && s.State.Terminated.FinishedAt.After(end) {
			end = s.State.Terminated.FinishedAt.Time
		}
	}
	return end
}

// endless is later than any time of a pod.
var endless = time.Unix(1<<40, 0)

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
