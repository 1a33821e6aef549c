// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/gang"
	"github.com/millrace-ml/millrace/internal/kueue"
)

// queueing asks whether the job waits in its queue, and for what, in Kueue's own words.
func queueing(s *state) (wait, bool) {
	queue, w := queueOf(s.job), s.world.Queue.Workload
	switch {
	case queue == "" || queuesBeside(s.job, s.world):
		return wait{}, false
	case !s.world.queues():
		return wait{status: no, reason: v1alpha1.ReasonQueueUnavailable, message: fmt.Sprintf(
			"spec.scheduling.queue: queue %s is Kueue's, and the cluster does not serve %s/%s: install Kueue, or create the job anew without the field%s.",
			queue, kueue.Group, kueue.Version, otherQueues(s.world))}, true
	case w == nil:
		return s.outside(queue), true
	case dispatched(s.job) && !w.MustRelease():
		return s.dispatching(w), true
	case !w.Active() || w.MustRelease():
		return wait{status: no, reason: v1alpha1.ReasonEvicted, message: eviction(w)}, true
	case s.reenters() != "":
		return wait{status: no, reason: v1alpha1.ReasonEvicted, message: s.reenters()}, true
	case !w.MayRun():
		return standing(queue, w), true
	}
	if name, missing := s.world.Queue.MissingFlavor(); missing {
		return pending(no, fmt.Sprintf("ResourceFlavor %s, of which Kueue gave the job quota, does not exist: create it.", name)), true
	}
	return wait{}, false
}

// otherQueues tells of a scheduler that is there and has queues of its own.
func otherQueues(w World) string {
	for _, row := range gang.Rows() {
		if row.Queues && row.Served(w.Served) {
			return fmt.Sprintf("; for a queue of %[1]s's, with spec.scheduling.gang.scheduler %[1]s", row.Name)
		}
	}
	return ""
}

// outside is what a job waits for that has no Workload.
func (s *state) outside(queue string) wait {
	switch {
	case s.awaitsPrebuilt() != "":
		return pending(no, s.awaitsPrebuilt())
	case len(s.world.Pods) > 0:
		return wait{status: no, reason: v1alpha1.ReasonEvicted, message: fmt.Sprintf(
			"Workload %s is gone, and with it the job's quota: the pods end, and the job enters queue %s anew.", workloadName(s.job), queue)}
	case s.world.Queue.NoClass != "":
		return pending(no, fmt.Sprintf("%s does not exist: create it, or create the job anew without it.", s.world.Queue.NoClass))
	}
	return pending(unknown, fmt.Sprintf("The job is about to enter queue %s.", queue))
}

func pending(status metav1.ConditionStatus, message string) wait {
	return wait{status: status, reason: v1alpha1.ReasonQueuePending, message: message}
}

// standing is what Kueue says of a job in a queue. Quota that is short is known; admission checks take their time.
func standing(queue string, w *kueue.Workload) wait {
	said := w.Pending()
	switch {
	case said == "":
		return pending(unknown, fmt.Sprintf("The job waits in queue %s.", queue))
	case w.Is(kueue.QuotaReserved):
		return pending(unknown, fmt.Sprintf("Queue %s: %s", queue, said))
	}
	return pending(no, fmt.Sprintf("Queue %s: %s", queue, said))
}

// eviction says why the quota of a job is taken back.
func eviction(w *kueue.Workload) string {
	if w.DeletionTimestamp != nil {
		return fmt.Sprintf("Workload %s is being deleted: the job enters its queue anew then.", w.Name)
	}
	message := "Kueue takes the job's quota back."
	if c := w.Condition(kueue.Evicted); w.Is(kueue.Evicted) {
		message = fmt.Sprintf("Kueue evicted the job (%s): %s", c.Reason, c.Message)
	}
	if !w.Active() {
		return fmt.Sprintf("%s. Set spec.active of Workload %s to true to let the job wait again.", strings.TrimSuffix(message, "."), w.Name)
	}
	return message
}

// waitsInQueue is a condition of a job that its queue keeps from having pods.
func waitsInQueue(s *state, kind string) metav1.Condition {
	w, _ := queueing(s)
	if s.wait != nil && s.world.Queue.Workload == nil {
		w = *s.wait // what it asks for must be known before it enters the queue
	}
	return condition(kind, w.status, w.reason, w.message)
}

func withStatus(c metav1.Condition, status metav1.ConditionStatus) metav1.Condition {
	c.Status = status
	return c
}

// partly tells of a job that was admitted with fewer workers than it is to have.
func (s *state) partly() string {
	e := framework.ElasticOf(s.job)
	if e == nil || s.layout.Job == s.job {
		return ""
	}
	return fmt.Sprintf(" Kueue admitted %d of %d workers: suspend and resume the job to ask for all of them again.",
		s.layout.Find("Worker").Count, e.Replicas)
}

// stand records how the job stands in its queue.
func (s *state) stand() {
	prior, w := s.job.Status.Queue, s.world.Queue.Workload
	// Where Kueue cannot be asked, what is known of the job in its queue is kept.
	left := suspended(s.job) && w == nil && (prior == nil || s.world.queues() && len(s.world.Pods) == 0)
	if queueOf(s.job) == "" || left || queuesBeside(s.job, s.world) {
		s.job.Status.Queue = nil
		return
	}
	status := s.inLine()
	if status.EvictedReason == "" && prior != nil && status.Evictions > 0 {
		status.EvictedReason = prior.EvictedReason
	}
	s.job.Status.Queue = status
}

// inLine is how a job stands in a queue of Kueue.
func (s *state) inLine() *v1alpha1.QueueStatus {
	status := &v1alpha1.QueueStatus{Name: queueOf(s.job), State: v1alpha1.QueueUnavailable, AdmittedReplicas: admittedReplicas(s.job, s.world)}
	w := s.world.Queue.Workload
	switch {
	case !s.world.queues():
		if prior := s.job.Status.Queue; prior != nil {
			status.Workload = prior.Workload
		}
		return status
	case w == nil:
		status.State = v1alpha1.QueuePending
		return status
	}
	status.State, status.Workload, status.ClusterQueue = stateIn(w), workloadName(s.job), w.ClusterQueue()
	status.Evictions, status.EvictedReason = w.Evictions(), w.EvictedReason()
	if s.reenters() != "" {
		status.State = v1alpha1.QueueEvicted
	}
	if ahead := s.world.Queue.Ahead; ahead != nil {
		status.Position = new(kueue.Position(*ahead))
	}
	return status
}

func stateIn(w *kueue.Workload) string {
	switch {
	case w.Is(kueue.Finished):
		return v1alpha1.QueueFinished
	case w.MayRun():
		return v1alpha1.QueueAdmitted
	case !w.Active() || w.MustRelease():
		return v1alpha1.QueueEvicted
	case w.Is(kueue.QuotaReserved):
		return v1alpha1.QueueReserved
	default:
		return v1alpha1.QueuePending
	}
}
