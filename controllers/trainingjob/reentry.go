// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/kueue"
	"github.com/millrace-ml/millrace/internal/names"
)

// reentries are asked in order why the quota that a job has is of no use to it.
var reentries = []func(*state) (why string){asksOtherwise}

// reenters says why a job gives up its quota and enters its queue anew, empty if it does not. Its pods end first, as when Kueue
// evicts it.
func (s *state) reenters() string {
	if w := s.world.Queue.Workload; w == nil || !w.Is(kueue.QuotaReserved) || w.Is(kueue.Evicted) || suspended(s.job) {
		return ""
	}
	for _, reason := range reentries {
		if why := reason(s); why != "" {
			return fmt.Sprintf("%s: the job gives its quota back and enters queue %s anew.", why, queueOf(s.job))
		}
	}
	return ""
}

// asksOtherwise: before the job has started, its pods would not use what was reserved.
func asksOtherwise(s *state) string {
	reserved := s.world.Queue.Workload.Annotations[names.Asks]
	if reserved == "" || started(s.job, s.world) || !s.askable() || reserved == s.demand() {
		return ""
	}
	return "What the pods ask for has changed since quota was reserved"
}

// demand is a digest of what a pod of each role asks for.
func (s *state) demand() string {
	var all []*corev1.Pod
	for i := range s.layout.Roles {
		m := framework.Member{Layout: s.layout, Role: &s.layout.Roles[i]}
		p := pod(m, 0)
		giveDevices(s, m, p)
		all = append(all, p)
	}
	return kueue.Digest(all)
}
