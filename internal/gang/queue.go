// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gang

import "github.com/millrace-ml/millrace/api/v1alpha1"

// queue leaves a gang to Kueue, which gives quota to all of its pods at once, and lets them be made only then. Of nodes it knows
// something with topology-aware scheduling only: Auto puts a scheduler or Guard beside it.
var queue = Row{
	Name: v1alpha1.GangKueue,
	Lacks: func(g Gang) (Lack, bool) {
		if g.Queue == "" {
			return Lack{
				"spec.scheduling.gang.scheduler", "admits jobs that wait in a queue, and this one names none",
				"set spec.scheduling.queue, or gang.scheduler to Auto",
			}, true
		}
		return Lack{
			"spec.scheduling.gang.roles", "has no minimums of roles",
			"remove them, or set gang.scheduler to Auto",
		}, len(g.Roles) > 0
	},
}
