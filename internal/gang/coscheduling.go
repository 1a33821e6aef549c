// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gang

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// coscheduling is a plug-in of a scheduler whose name is the installation's to choose. What keeps a gang from being placed it
// says on the pods.
var coscheduling = Row{
	Name:       v1alpha1.GangCoscheduling,
	Kind:       schema.GroupVersionKind{Group: "scheduling.x-k8s.io", Version: "v1alpha1", Kind: "PodGroup"},
	PerAttempt: true,
	Scheduler:  "scheduler-plugins-scheduler",
	Spec: func(g Gang) map[string]any {
		spec := map[string]any{"minMember": int64(g.MinMember)}
		if g.Timeout > 0 {
			spec["scheduleTimeoutSeconds"] = int64(g.Timeout)
		}
		return spec
	},
	Join: func(_ Gang, group, _ string, p *corev1.Pod) {
		p.Labels["scheduling.x-k8s.io/pod-group"] = group
	},
	Lacks: func(g Gang) (Lack, bool) {
		return Lack{
			"spec.scheduling.gang.roles", "has no minimums of roles",
			"set gang.minMember instead, or gang.scheduler to Volcano, KAI or Guard",
		}, len(g.Roles) > 0
	},
}
