// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gang

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Require adds what so many pods ask for.
func (g *Gang) Require(p *corev1.PodSpec, pods int32) {
	for name, each := range requests(p) {
		each.Mul(int64(pods))
		sum := g.Requests[name]
		sum.Add(each)
		if g.Requests == nil {
			g.Requests = corev1.ResourceList{}
		}
		g.Requests[name] = sum
	}
}

// requests is what a pod asks for: its containers and sidecars together, or an init container that asks for more.
func requests(p *corev1.PodSpec) corev1.ResourceList {
	sum, most := corev1.ResourceList{}, corev1.ResourceList{}
	for i := range p.InitContainers {
		c := &p.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			add(sum, c)
			continue
		}
		for name, asked := range asks(c) {
			if m := most[name]; asked.Cmp(m) > 0 {
				most[name] = asked
			}
		}
	}
	for i := range p.Containers {
		add(sum, &p.Containers[i])
	}
	for name, asked := range most {
		if s := sum[name]; asked.Cmp(s) > 0 {
			sum[name] = asked
		}
	}
	return sum
}

func add(sum corev1.ResourceList, c *corev1.Container) {
	for name, asked := range asks(c) {
		s := sum[name]
		s.Add(asked)
		sum[name] = s
	}
}

// asks is what a container asks for; a limit alone is a request too.
func asks(c *corev1.Container) corev1.ResourceList {
	all := maps.Clone(c.Resources.Limits)
	if all == nil {
		all = corev1.ResourceList{}
	}
	maps.Copy(all, c.Resources.Requests)
	return all
}

// quantities are resources as an unstructured object holds them.
func quantities(list corev1.ResourceList) map[string]any {
	all := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(list)) {
		q := list[name]
		all[string(name)] = q.String()
	}
	return all
}
