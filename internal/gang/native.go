// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gang

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// native is the scheduler of Kubernetes. Its API is served only where the feature gate GenericWorkload is on; without it the API
// server drops the field by which pods join, without a word, so that nothing but discovery may lead here.
var native = Row{
	Name: v1alpha1.GangNative,
	Kind: schema.GroupVersionKind{Group: "scheduling.k8s.io", Version: "v1beta1", Kind: "PodGroup"},
	Spec: func(g Gang) map[string]any {
		spec := map[string]any{
			"schedulingPolicy": map[string]any{"gang": map[string]any{"minCount": int64(g.MinMember)}},
			// A part of a gang that was preempted would only hold its nodes.
			"disruptionMode": map[string]any{"all": map[string]any{}},
		}
		set(spec, "priorityClassName", g.Priority)
		if g.Topology != nil && required(*g.Topology) {
			spec["schedulingConstraints"] = map[string]any{"topology": []any{map[string]any{"key": g.Topology.Key}}}
		}
		return spec
	},
	Join: func(_ Gang, group, _ string, p *corev1.Pod) {
		p.Spec.SchedulingGroup = &corev1.PodSchedulingGroup{PodGroupName: &group}
	},
	Admits: func(g Gang, group *unstructured.Unstructured) string {
		if g.Topology == nil || !required(*g.Topology) {
			return ""
		}
		if group == nil {
			return "PodGroup is being made."
		}
		if _, kept, _ := unstructured.NestedFieldNoCopy(group.Object, "spec", "schedulingConstraints"); !kept {
			return "spec.scheduling.topology: the API server drops spec.schedulingConstraints of PodGroups: turn on its feature gate " +
				"TopologyAwareWorkloadScheduling, or create the job again with topology.mode Preferred or gang.scheduler Guard."
		}
		return ""
	},
	Short: func(group *unstructured.Unstructured) string {
		return conditionMessage(group, "conditions", "PodGroupInitiallyScheduled", corev1.ConditionFalse)
	},
	Lacks: func(g Gang) (Lack, bool) {
		if len(g.Roles) > 0 {
			return Lack{
				"spec.scheduling.gang.roles", "has no minimums of roles in scheduling.k8s.io/v1beta1",
				"set gang.minMember instead, or gang.scheduler to Volcano, KAI or Guard",
			}, true
		}
		return Lack{
			"spec.roles[].template.spec.priorityClassName", "places pods of one priority only",
			"name one PriorityClass in spec.scheduling.priorityClassName and none in the templates",
		}, g.Mixed
	},
	Gathers: func(g Gang) bool { return required(*g.Topology) },
}

func required(t v1alpha1.Topology) bool { return t.Mode == v1alpha1.TopologyRequired }
