// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/kueue"
	"github.com/millrace-ml/millrace/internal/names"
)

// reentries are asked in order why the quota that a job has is of no use to it.
var reentries = []func(*state) (why string){asksOtherwise, pinned}

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

// replacing is how long Kueue is given to put another node in the place of one that is bad. It does so for nodes that are gone or do
// not answer, and sees neither devices nor conditions.
const replacing = time.Minute

// pinned: a pod would have to run on a node that the job keeps away from. Kueue is told of that with the Workload of next time.
func pinned(s *state) string {
	node := s.pinnedTo()
	if node == nil || s.untilReentry(node) > 0 {
		return ""
	}
	return givenBad(node)
}

// awaitsReplacement: such a pod would be pending for ever.
func awaitsReplacement(s *state) (wait, bool) {
	node := s.pinnedTo()
	if node == nil {
		return wait{}, false
	}
	return wait{status: no, reason: v1alpha1.ReasonQueuePending, again: s.untilReentry(node), message: fmt.Sprintf(
		"%s: unless Kueue replaces the node, the job gives its quota back and enters queue %s anew.", givenBad(node), queueOf(s.job))}, true
}

func givenBad(node *v1alpha1.JudgedNode) string {
	return fmt.Sprintf("Kueue gave the job node %s, which it keeps away from (%s)", node.Name, node.Evidence)
}

func (s *state) untilReentry(node *v1alpha1.JudgedNode) time.Duration {
	return node.Since.Add(replacing).Sub(s.now)
}

// pinnedTo finds a node that the job keeps away from and that is the domain of a pod to be made.
func (s *state) pinnedTo() *v1alpha1.JudgedNode {
	for _, n := range s.avoided() {
		for _, r := range s.replicas {
			if !r.current() && !r.done && s.places[r.Name()][corev1.LabelHostname] == n.Name {
				return &n
			}
		}
	}
	return nil
}

// demand is a digest of what a pod of each role asks for.
func (s *state) demand() string {
	var all []*corev1.Pod
	for i := range s.layout.Roles {
		m := framework.Member{Layout: s.layout, Role: &s.layout.Roles[i]}
		p := pod(m, 0)
		giveDevices(s, m, p)
		dress(s, m, p)
		all = append(all, p)
	}
	return kueue.Digest(all)
}
