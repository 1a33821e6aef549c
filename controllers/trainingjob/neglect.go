// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"cmp"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/framework"
)

// neglect is how long a scheduler may leave what it is to place untouched before that is said. That its API is served does not
// mean that it runs: Helm leaves definitions behind.
const neglect = time.Minute

// untilNeglected is the time left to touch something, and 0 when it is over.
func (s *state) untilNeglected(made metav1.Time) time.Duration {
	if made.IsZero() {
		return neglect
	}
	return max(0, made.Add(neglect).Sub(s.now))
}

// untouched is why a group is not let in by its scheduler, or what is to be checked when nobody has touched it for long.
func (s *state) untouched(w wait) wait {
	group := s.gang.group
	if group == nil || s.gang.row.Admitted == nil || touched(group) {
		return w
	}
	if w.again = s.untilNeglected(group.GetCreationTimestamp()); w.again > 0 {
		return w
	}
	w.status, w.message = no, fmt.Sprintf(
		"Nobody has touched PodGroup %s for a minute: check that the scheduler %s runs, or create the job again with gang.scheduler Guard.",
		group.GetName(), s.world.Gangs.SchedulerName(s.gang.row),
	)
	return w
}

// touched is true for an object that has any status.
func touched(o *unstructured.Unstructured) bool {
	status, _, _ := unstructured.NestedMap(o.Object, "status")
	return len(status) > 0
}

// overlooked tells of the first pod that its scheduler has not looked at for too long; until then, when to look again.
func (s *state) overlooked() (message string, again time.Duration) {
	for _, r := range s.replicas {
		scheduler := s.schedulerOf(r.Role)
		if scheduler == "" || !r.current() || hasNode(r.pod) || judgedByScheduler(r.pod) {
			continue
		}
		if left := s.untilNeglected(r.pod.CreationTimestamp); left > 0 {
			again = engine.Soonest(again, left)
			continue
		}
		advice := "create the job again with gang.scheduler Guard"
		if r.Role.Template.Spec.SchedulerName != "" {
			advice = "create the job again with another schedulerName in its templates"
		}
		return fmt.Sprintf("Nobody has looked at pod %s for a minute: check that the scheduler %s runs, or %s.", r.Name(), scheduler, advice), 0
	}
	return "", again
}

// schedulerOf is the schedulerName of a role's pods, empty for the scheduler that every cluster has.
func (s *state) schedulerOf(role *framework.Role) string {
	name := role.Template.Spec.SchedulerName
	if s.gang != nil {
		name = cmp.Or(name, s.world.Gangs.SchedulerName(s.gang.row))
	}
	if name == corev1.DefaultSchedulerName {
		return ""
	}
	return name
}

// judgedByScheduler is true for a pod that a scheduler has said anything of.
func judgedByScheduler(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			return true
		}
	}
	return false
}
