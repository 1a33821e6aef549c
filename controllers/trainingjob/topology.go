// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/podspec"
)

// gather keeps a pod close to the others of its job, unless Kueue or the group does that. Every scheduler honours the affinity
// of pods; the first pod, which finds no other, chooses the place.
func gather(s *state, _ framework.Member, p *corev1.Pod) {
	scheduling := s.job.Spec.Scheduling
	if scheduling == nil || scheduling.Topology == nil || inKueue(s.job, s.world) || s.gang != nil && s.gang.row.Near(s.gang.Gang) {
		return
	}
	term := corev1.PodAffinityTerm{
		TopologyKey:   scheduling.Topology.Key,
		LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{names.TrainingJob: s.job.Name}},
	}
	near := podspec.PodAffinity(&p.Spec)
	if scheduling.Topology.Mode == v1alpha1.TopologyRequired {
		near.RequiredDuringSchedulingIgnoredDuringExecution = append(near.RequiredDuringSchedulingIgnoredDuringExecution, term)
		return
	}
	near.PreferredDuringSchedulingIgnoredDuringExecution = append(near.PreferredDuringSchedulingIgnoredDuringExecution,
		corev1.WeightedPodAffinityTerm{Weight: 100, PodAffinityTerm: term})
}

// lonelyPods: the scheduler lets the first pod of a job pass that must be close to its own kind, but not when it must be close to
// others too.
func lonelyPods(job *v1alpha1.TrainingJob) (objection, bool) {
	scheduling := job.Spec.Scheduling
	if scheduling == nil || scheduling.Topology == nil || scheduling.Topology.Mode != v1alpha1.TopologyRequired {
		return objection{}, false
	}
	for i := range job.Spec.Roles {
		own := job.Spec.Roles[i].Template.Spec.Affinity
		if own != nil && own.PodAffinity != nil && len(own.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution) > 0 {
			return invalid("spec.roles[%d].template.spec.affinity.podAffinity: with a required affinity beside spec.scheduling.topology the first pod would never be placed: make it preferred, or set topology.mode to Preferred.", i)
		}
	}
	return objection{}, false
}
