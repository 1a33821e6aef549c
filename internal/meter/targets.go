// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package meter

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/collect"
	"github.com/millrace-ml/millrace/internal/observe"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

// scrapes is how often an endpoint is asked.
const scrapes = 5 * time.Second

// kinds are how metrics are fetched, by the collector's kind. What is read from files a sidecar pushes.
var kinds = map[v1alpha1.CollectorKind]collect.Kind{
	v1alpha1.CollectStdOut: collect.Log, v1alpha1.CollectPrometheus: collect.Scrape, v1alpha1.CollectPush: collect.Push,
	v1alpha1.CollectFile: collect.Push, v1alpha1.CollectTensorBoard: collect.Push,
}

// targetsOf are the places that tell the metrics of a trial.
func targetsOf(t trialjob.Target) []collect.Target {
	var targets []collect.Target
	for _, p := range primary(t) {
		i := slices.IndexFunc(p.Spec.Containers, func(c corev1.Container) bool { return t.Container == "" || c.Name == t.Container })
		if i < 0 {
			continue
		}
		if target, ready := targetOf(t, p, p.Spec.Containers[i].Name); ready {
			targets = append(targets, target)
		}
	}
	return targets
}

// primary are the pods that tell. Where the labels are those that the kind gives to its first pod, and no pod has them, all do.
func primary(t trialjob.Target) []*corev1.Pod {
	var all, chosen []*corev1.Pod
	for i := range t.Pods {
		all = append(all, &t.Pods[i])
		if labels.SelectorFromSet(t.Labels).Matches(labels.Set(t.Pods[i].Labels)) {
			chosen = append(chosen, &t.Pods[i])
		}
	}
	if len(chosen) == 0 && !t.Chosen {
		return all
	}
	return chosen
}

// targetOf is a container that tells; not ready is one that has not started.
func targetOf(t trialjob.Target, p *corev1.Pod, container string) (target collect.Target, ready bool) {
	over := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	target = collect.Target{
		Kind: kinds[cmp.Or(t.Collector.Kind, v1alpha1.CollectStdOut)], Pod: p.Name, PodUID: string(p.UID), Container: container, Metrics: t.Metrics,
		Format: observe.Format(cmp.Or(t.Collector.Format, v1alpha1.FormatText)), Filters: t.Collector.Filters, Ended: over,
	}
	i := slices.IndexFunc(p.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.Name == container })
	if i < 0 {
		return target, over
	}
	status := p.Status.ContainerStatuses[i]
	target.Restarts = status.RestartCount
	if target.Kind != collect.Push {
		target.Ended = over || ended(p, status)
	}
	if target.Kind == collect.Scrape {
		target.URL = fmt.Sprintf("http://%s%s", net.JoinHostPort(p.Status.PodIP, port(t)), cmp.Or(t.Collector.Path, "/metrics"))
		target.Interval = scrapes
		return target, p.Status.PodIP != ""
	}
	return target, status.State.Waiting == nil || status.RestartCount > 0
}

func port(t trialjob.Target) string { return strconv.Itoa(int(cmp.Or(t.Collector.Port, 8080))) }

// ended is true of a container that will not be started again.
func ended(p *corev1.Pod, status corev1.ContainerStatus) bool {
	end := status.State.Terminated
	return end != nil && (p.Spec.RestartPolicy == corev1.RestartPolicyNever || p.Spec.RestartPolicy == corev1.RestartPolicyOnFailure && end.ExitCode == 0)
}
