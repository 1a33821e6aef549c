// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package kueue

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// MissingFlavor is a ResourceFlavor that the Workload was given and that does not exist.
func (w World) MissingFlavor() (string, bool) {
	for _, name := range w.Workload.FlavorNames() {
		if w.flavor(name) == nil {
			return name, true
		}
	}
	return "", false
}

// FlavorNames are the ResourceFlavors that the Workload was given, sorted.
func (w *Workload) FlavorNames() []string {
	if w.Status.Admission == nil {
		return nil
	}
	names := map[string]bool{}
	for _, a := range w.Status.Admission.PodSetAssignments {
		for _, name := range a.Flavors {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func (w World) flavor(name string) *Flavor {
	for i := range w.Flavors {
		if w.Flavors[i].Name == name {
			return &w.Flavors[i]
		}
	}
	return nil
}

// Place completes a pod of an admitted Workload with where it runs: the labels and tolerations of its flavors, what admission checks
// want, and its domain in the topology, one of those that are free.
func (w World) Place(p *corev1.Pod, podSet string, domain map[string]string) {
	a := w.Workload.assignment(podSet)
	if a == nil {
		return
	}
	for _, name := range slices.Compact(slices.Sorted(maps.Values(a.Flavors))) {
		if f := w.flavor(name); f != nil {
			merge(&p.Spec.NodeSelector, f.Spec.NodeLabels)
			tolerate(p, f.Spec.Tolerations)
		}
	}
	for _, check := range w.Workload.Status.AdmissionChecks {
		for _, u := range check.PodSetUpdates {
			if u.Name == podSet {
				update(p, u)
			}
		}
	}
	if a.TopologyAssignment != nil {
		merge(&p.Spec.NodeSelector, domain)
		merge(&p.Annotations, w.Workload.marks(podSet))
	}
}

func update(p *corev1.Pod, u Update) {
	merge(&p.Labels, u.Labels)
	merge(&p.Annotations, u.Annotations)
	merge(&p.Spec.NodeSelector, u.NodeSelector)
	tolerate(p, u.Tolerations)
}

// marks are the annotations by which Kueue knows a pod that it has placed.
func (w *Workload) marks(podSet string) map[string]string {
	marks := map[string]string{WorkloadAnnotation: w.Name}
	for _, s := range w.Spec.PodSets {
		if s.Name != podSet {
			continue
		}
		switch r := s.TopologyRequest; {
		case r != nil && r.Required != nil:
			marks[requiredAnnotation] = *r.Required
		case r != nil && r.Preferred != nil:
			marks[preferredAnnotation] = *r.Preferred
		default:
			marks[unconstrainedAnnotation] = "true"
		}
	}
	return marks
}

func merge(into *map[string]string, from map[string]string) {
	if *into == nil && len(from) > 0 {
		*into = map[string]string{}
	}
	maps.Copy(*into, from)
}

func tolerate(p *corev1.Pod, tolerations []corev1.Toleration) {
	for _, t := range tolerations {
		if !slices.Contains(p.Spec.Tolerations, t) {
			p.Spec.Tolerations = append(p.Spec.Tolerations, t)
		}
	}
}

// Free are the domains for the pods of a PodSet that are to be made, in order, as node selectors: those for all of its pods, less
// those of pods that are there. Kueue sorts them anew when it replaces one, so that they have no numbers.
func (w World) Free(podSet string, there []*corev1.Pod) []map[string]string {
	a := w.Workload.assignment(podSet)
	if a == nil || a.TopologyAssignment == nil {
		return nil
	}
	t, taken := a.TopologyAssignment, map[string]int32{}
	for _, p := range there {
		taken[t.key(p.Spec.NodeSelector)]++
	}
	var free []map[string]string
	for _, s := range t.Slices {
		for i := range int(s.DomainCount) {
			labels := t.labels(s, i)
			for range s.PodCounts.at(i) - taken[t.key(labels)] {
				free = append(free, labels)
			}
		}
	}
	return free
}

// key tells domains apart.
func (t *TopologyAssignment) key(labels map[string]string) string {
	values := make([]string, len(t.Levels))
	for i, level := range t.Levels {
		values[i] = labels[level]
	}
	return strings.Join(values, "\n")
}

func (t *TopologyAssignment) labels(s Slice, domain int) map[string]string {
	labels := map[string]string{}
	for level, key := range t.Levels {
		if level < len(s.ValuesPerLevel) {
			labels[key] = s.ValuesPerLevel[level].at(domain)
		}
	}
	return labels
}

func (v Values) at(i int) string {
	switch {
	case v.Universal != nil:
		return *v.Universal
	case v.Individual != nil && i < len(v.Individual.Roots):
		return v.Individual.Prefix + v.Individual.Roots[i] + v.Individual.Suffix
	}
	return ""
}

func (c Counts) at(i int) int32 {
	switch {
	case c.Universal != nil:
		return *c.Universal
	case i < len(c.Individual):
		return c.Individual[i]
	}
	return 0
}
