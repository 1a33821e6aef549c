// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gang

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// volcano makes a gang wait in a queue, and pods are worth making only when it is let out of it.
var volcano = Row{
	Name:       v1alpha1.GangVolcano,
	Kind:       schema.GroupVersionKind{Group: "scheduling.volcano.sh", Version: "v1beta1", Kind: "PodGroup"},
	PerAttempt: true,
	Scheduler:  "volcano",
	Queues:     true,
	Spec: func(g Gang) map[string]any {
		spec := map[string]any{"minMember": int64(g.MinMember)}
		set(spec, "priorityClassName", g.Priority)
		set(spec, "queue", g.Queue)
		if len(g.Requests) > 0 {
			// Without it every group is let out of the queue at once.
			spec["minResources"] = quantities(g.Requests)
		}
		if len(g.Roles) > 0 {
			tasks := map[string]any{}
			for _, r := range g.Roles {
				tasks[names.Lower(r.Name)] = int64(r.MinMember)
			}
			spec["minTaskMember"] = tasks
		}
		if g.Level != nil {
			spec["networkTopology"] = map[string]any{"mode": volcanoMode(*g.Topology), "highestTierAllowed": g.Level.Tier}
		}
		return spec
	},
	Join: func(_ Gang, group, role string, p *corev1.Pod) {
		annotate(p, "scheduling.k8s.io/group-name", group)
		annotate(p, "volcano.sh/task-spec", names.Lower(role))
	},
	Admits: func(_ Gang, group *unstructured.Unstructured) string {
		if group == nil {
			return "PodGroup is being made."
		}
		if phase, _, _ := unstructured.NestedString(group.Object, "status", "phase"); phase != "" && phase != "Pending" {
			return ""
		}
		queue, _, _ := unstructured.NestedString(group.Object, "spec", "queue")
		if queue == "" {
			return fmt.Sprintf("PodGroup %s waits for Volcano to let it in.", group.GetName())
		}
		return fmt.Sprintf("PodGroup %s waits in Volcano's queue %s.", group.GetName(), queue)
	},
	Admitted: func(group *unstructured.Unstructured) {
		group.Object["status"] = map[string]any{"phase": "Inqueue"}
	},
	Short: func(group *unstructured.Unstructured) string {
		return conditionMessage(group, "conditions", "Unschedulable", corev1.ConditionTrue)
	},
	Fabric: schema.GroupVersionKind{Group: "topology.volcano.sh", Version: "v1alpha1", Kind: "HyperNode"},
	Finds:  volcanoFinds,
	Level: func(group *unstructured.Unstructured) *Level {
		tier, found, _ := unstructured.NestedInt64(group.Object, "spec", "networkTopology", "highestTierAllowed")
		return levelIf(found, Level{Tier: tier})
	},
	Gathers: located,
}

func volcanoMode(t v1alpha1.Topology) string {
	if required(t) {
		return "hard"
	}
	return "soft"
}

// volcanoFinds knows a HyperNode that stands for the nodes of one value of a label: Volcano gives those it makes from node labels the
// same label, and others may be named after it by their tier.
func volcanoFinds(hyperNode *unstructured.Unstructured, label string) (Level, bool) {
	tier, _, _ := unstructured.NestedInt64(hyperNode.Object, "spec", "tier")
	name, _, _ := unstructured.NestedString(hyperNode.Object, "spec", "tierName")
	_, labelled := hyperNode.GetLabels()[label]
	return Level{Fabric: hyperNode.GetName(), Tier: tier}, tier > 0 && (labelled || name == label)
}
