// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/poddefault"
)

// dress merges the PodDefaults that are there when a pod is made into it. A pod that runs is left alone whatever becomes of them.
func dress(s *state, m framework.Member, p *corev1.Pod) {
	poddefault.Apply(undressed(m, p), poddefault.Matching(s.world.PodDefaults, p.Labels))
}

func undressed(m framework.Member, p *corev1.Pod) poddefault.Pod {
	return poddefault.Pod{Pod: p, Main: m.Role.Main, Reserved: m.Reserved(m)}
}

// clashes: a pod to be made contradicts a PodDefault that is for it, or two of these contradict each other.
func clashes(s *state) (wait, bool) {
	if len(s.world.PodDefaults) == 0 {
		return wait{}, false
	}
	asked := map[string]bool{}
	for _, r := range s.replicas {
		if r.current() || r.done {
			continue
		}
		p := s.shaped(r, bare)
		in := poddefault.Matching(s.world.PodDefaults, p.Labels)
		key := r.Role.Name + " " + namesOf(in)
		if asked[key] {
			continue // its pods differ by their places only
		}
		asked[key] = true
		if c, found := poddefault.Apply(undressed(r.Member, p), in); found {
			return wait{status: no, reason: v1alpha1.ReasonPodDefaultConflict, message: c.Say(fmt.Sprintf("spec.roles[%d].template", s.roleIndex(r.Role)))}, true
		}
	}
	return wait{}, false
}

// roleIndex is the index of a role in the spec.
func (s *state) roleIndex(role *framework.Role) int {
	return slices.IndexFunc(s.job.Spec.Roles, func(r v1alpha1.Role) bool { return r.Name == role.Name })
}

func namesOf(in []*v1alpha1.PodDefault) string {
	var all []string
	for _, d := range in {
		all = append(all, d.Name)
	}
	return strings.Join(all, ",")
}
