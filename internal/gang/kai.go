// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gang

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// Keys by which KAI knows a pod's gang, its part of it and its queue, and the queue of its own installation.
const (
	kaiGroup    = "pod-group-name"
	kaiSubgroup = "kai.scheduler/subgroup-name"
	kaiSkip     = "kai.scheduler/skip-podgrouper"
	kaiQueue    = "kai.scheduler/queue"
	kaiDefault  = "default-queue"
)

// kai makes groups of its own for pods it does not know; it is told not to.
var kai = Row{
	Name:      v1alpha1.GangKAI,
	Kind:      schema.GroupVersionKind{Group: "scheduling.run.ai", Version: "v2alpha2", Kind: "PodGroup"},
	Scheduler: "kai-scheduler",
	Queues:    true,
	Spec: func(g Gang) map[string]any {
		spec := map[string]any{"minMember": int64(g.MinMember), "queue": cmp.Or(g.Queue, kaiDefault)}
		set(spec, "priorityClassName", g.Priority)
		var parts []any
		for _, r := range g.Roles {
			parts = append(parts, map[string]any{"name": names.Lower(r.Name), "minMember": int64(r.MinMember)})
		}
		if len(parts) > 0 {
			spec["subGroups"] = parts
		}
		if g.Level != nil {
			spec["topologyConstraint"] = map[string]any{"topology": g.Level.Fabric, kaiLevel(*g.Topology): g.Topology.Key}
		}
		return spec
	},
	Join: func(g Gang, group, role string, p *corev1.Pod) {
		annotate(p, kaiGroup, group)
		annotate(p, kaiSkip, "true")
		p.Labels[kaiQueue] = cmp.Or(g.Queue, kaiDefault)
		if len(g.Roles) > 0 {
			p.Labels[kaiSubgroup] = names.Lower(g.part(role))
		}
	},
	Fabric: schema.GroupVersionKind{Group: "kai.scheduler", Version: "v1alpha1", Kind: "Topology"},
	Finds:  kaiFinds,
	Level: func(group *unstructured.Unstructured) *Level {
		name, found, _ := unstructured.NestedString(group.Object, "spec", "topologyConstraint", "topology")
		return levelIf(found, Level{Fabric: name})
	},
	Gathers: located,
	Short: func(group *unstructured.Unstructured) string {
		return conditionMessage(group, "schedulingConditions", "UnschedulableOnNodePool", corev1.ConditionTrue)
	},
}

// part is the role that a pod counts for: its own, or the first of those with a minimum. A pod of a subgroup that the group does not
// name would never be placed, and a subgroup that needs no pod is unknown to KAI before 0.14.
func (g Gang) part(role string) string {
	if slices.ContainsFunc(g.Roles, func(r Role) bool { return r.Name == role }) {
		return role
	}
	return g.Roles[0].Name
}

func kaiLevel(t v1alpha1.Topology) string {
	if required(t) {
		return "requiredTopologyLevel"
	}
	return "preferredTopologyLevel"
}

func kaiFinds(topology *unstructured.Unstructured, label string) (Level, bool) {
	field, _, _ := unstructured.NestedFieldNoCopy(topology.Object, "spec", "levels")
	levels, _ := field.([]any)
	found := slices.ContainsFunc(levels, func(entry any) bool {
		level, _ := entry.(map[string]any)
		return level["nodeLabel"] == label
	})
	return Level{Fabric: topology.GetName()}, found
}
