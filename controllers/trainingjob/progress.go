// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/framework"
)

// progress are the conditions of a job that has not finished.
func (s *state) progress() []metav1.Condition {
	running, restarting := s.running(), s.restarting()
	return []metav1.Condition{
		s.accepted(),
		s.scheduled(),
		running,
		restarting,
		s.suspension(),
		s.inProgress(running, restarting),
		s.reconciling(running),
		condition(v1alpha1.ConditionStalled, no, v1alpha1.ReasonHealthy, "Nothing stands in the way for good."),
	}
}

func (s *state) accepted() metav1.Condition {
	message := fmt.Sprintf("The job has %d pods.", s.layout.Size())
	if s.layout.Size() == 1 {
		message = "The job has one pod."
	}
	message += s.partly() + elsewhere(s.job)
	if s.layout.Row.Framework == v1alpha1.PyTorch && s.layout.Find("Master") == nil && framework.ElasticOf(s.job) == nil {
		message += " It has neither a Master nor spec.pytorch.elastic, so its pods get no MASTER_ADDR: name the rendezvous in their arguments, or add a Master."
	}
	return condition(v1alpha1.ConditionAccepted, yes, v1alpha1.ReasonAccepted, message)
}

// scheduled: every pod has a node. The first pod that cannot have one is named.
func (s *state) scheduled() metav1.Condition {
	kind := v1alpha1.ConditionScheduled
	if suspended(s.job) {
		return condition(kind, unknown, v1alpha1.ReasonSuspended, "The job is suspended.")
	}
	if s.parked {
		return waitsInQueue(s, kind)
	}
	if c, found := s.cannotPlace(); found {
		return c
	}
	if message, found := s.find(unschedulable); found {
		return condition(kind, no, v1alpha1.ReasonUnschedulable, s.avoiding(message))
	}
	missing := func(r replica) bool { return !r.current() && !r.done }
	if s.wait != nil && slices.ContainsFunc(s.replicas, missing) {
		return condition(kind, s.wait.status, s.wait.reason, s.wait.message)
	}
	return s.placing(missing)
}

// placing tells how far pods are on their normal way to a node; some are missing.
func (s *state) placing(missing func(replica) bool) metav1.Condition {
	kind := v1alpha1.ConditionScheduled
	if i := slices.IndexFunc(s.replicas, func(r replica) bool { return missing(r) && r.pod != nil && terminating(r.pod) }); i >= 0 {
		return condition(kind, unknown, v1alpha1.ReasonCreatingPods, ending(s.replicas[i].pod))
	}
	if slices.ContainsFunc(s.replicas, func(r replica) bool { return missing(r) && !s.awaitsWorkers(r) }) {
		return condition(kind, unknown, v1alpha1.ReasonCreatingPods, "Pods are being created.")
	}
	if message, _ := s.overlooked(); message != "" {
		return condition(kind, no, v1alpha1.ReasonWaitingForScheduler, message)
	}
	if slices.ContainsFunc(s.replicas, func(r replica) bool { return r.current() && r.pod.Spec.NodeName == "" }) {
		return condition(kind, unknown, v1alpha1.ReasonWaitingForScheduler, "Pods wait for the scheduler.")
	}
	if i := slices.IndexFunc(s.replicas, missing); i >= 0 {
		return condition(kind, unknown, v1alpha1.ReasonWaitingForWorkers, fmt.Sprintf("Pod %s is made when every worker is ready.", s.replicas[i].Name()))
	}
	return condition(kind, yes, v1alpha1.ReasonAllScheduled, "Every pod has a node.")
}

// running: every pod runs or has succeeded. If not, the first obstacle is named.
func (s *state) running() metav1.Condition {
	kind := v1alpha1.ConditionRunning
	if suspended(s.job) {
		return condition(kind, no, v1alpha1.ReasonSuspended, "The job is suspended.")
	}
	if s.parked {
		return withStatus(waitsInQueue(s, kind), no)
	}
	if message, found := s.find(s.cannotStart); found {
		return condition(kind, no, v1alpha1.ReasonPodCannotStart, message)
	}
	if s.allRunning() {
		return condition(kind, yes, v1alpha1.ReasonAllRunning, "Every pod runs or has succeeded.")
	}
	if c := s.scheduled(); c.Status != yes {
		return condition(kind, no, c.Reason, c.Message)
	}
	return condition(kind, no, v1alpha1.ReasonPodsStarting, "Pods are starting.")
}

// find returns the first replica in rank order of whose pod something can be said.
func (s *state) find(ask func(*corev1.Pod) (string, bool)) (string, bool) {
	for _, r := range s.replicas {
		if !r.current() {
			continue
		}
		if message, found := ask(r.pod); found {
			return message, true
		}
	}
	return "", false
}

// onTheWay are the reasons for which a container waits that pass by themselves, or that restarts explain.
var onTheWay = []string{"", "ContainerCreating", "PodInitializing", "CrashLoopBackOff"}

// cannotStart says which container of a pod cannot start and why: an image that cannot be had, a secret or key that is
// not there, a command that does not exist, a volume that cannot be mounted.
func (s *state) cannotStart(p *corev1.Pod) (string, bool) {
	for _, c := range allStatuses(p) {
		if c.State.Waiting == nil || slices.Contains(onTheWay, c.State.Waiting.Reason) {
			continue
		}
		reason, message := steady(c.State.Waiting)
		return fmt.Sprintf("Pod %s, container %s cannot start: %s: %s", p.Name, c.Name, reason, message), true
	}
	if message, found := s.unmounted[p.UID]; found && awaitsVolumes(p) {
		return fmt.Sprintf("Pod %s cannot start: %s", p.Name, message), true
	}
	return "", false
}

// steady is what the kubelet says of a container that waits, in one form: while it tries to pull an image it says that it tries
// and that it waits in turn.
func steady(w *corev1.ContainerStateWaiting) (reason, message string) {
	if w.Reason != "ImagePullBackOff" {
		return w.Reason, w.Message
	}
	if _, cause, found := strings.Cut(w.Message, ": ErrImagePull: "); found {
		return "ErrImagePull", cause
	}
	return w.Reason, w.Message
}

// restarting: a failure is being retried, or a pod that ran is gone.
func (s *state) restarting() metav1.Condition {
	kind := v1alpha1.ConditionRestarting
	if suspended(s.job) {
		return condition(kind, no, v1alpha1.ReasonSuspended, "The job is suspended.")
	}
	if s.parked {
		return withStatus(waitsInQueue(s, kind), no)
	}
	for _, r := range s.replicas {
		if r.running() || s.over(r) {
			continue
		}
		if c, hit := s.retrying(r); hit {
			return c
		}
	}
	return condition(kind, no, v1alpha1.ReasonNotRestarting, "Nothing that failed is being retried."+s.inCommon())
}

func (s *state) retrying(r replica) (metav1.Condition, bool) {
	kind := v1alpha1.ConditionRestarting
	if r.current() && inPlace(r) > 0 {
		return condition(kind, yes, v1alpha1.ReasonReplicaFailed, sentence(explain(r.pod, r.Role.MainName()))+"."), true
	}
	gone := s.job.Status.RunningTime != nil && !r.current() && r.Index < s.sizes[r.Role.Name]
	if rec := s.record(r.unit); s.explains(rec, r) {
		reason, more := whyRestarted(rec)
		return condition(kind, yes, reason, sentence(rec.Cause)+"."+more), true
	}
	if gone && r.pod != nil {
		return condition(kind, yes, v1alpha1.ReasonReplicaLost, ending(r.pod)), true
	}
	if gone {
		return condition(kind, yes, v1alpha1.ReasonReplicaLost, fmt.Sprintf("Pod %s is gone and is being replaced.", r.Name())), true
	}
	return metav1.Condition{}, false
}

// ending tells of a pod whose name is not free yet.
func ending(p *corev1.Pod) string {
	if p.Spec.NodeName == "" {
		return fmt.Sprintf("Pod %s is ending and is made anew then.", p.Name)
	}
	return fmt.Sprintf("Pod %s is ending on node %s and is made anew then.", p.Name, p.Spec.NodeName)
}

// explains is true when the last recorded failure of a unit is why a replica does not run: it happened since the job was
// started, and the pod that stands for the replica, if any, was made for it.
func (s *state) explains(rec v1alpha1.Restart, r replica) bool {
	if rec.Cause == nil || r.attempt == 0 || s.parted(rec.Cause) {
		return false
	}
	at, start := rec.Cause.Time, s.job.Status.StartTime
	if at != nil && start != nil && at.Before(start) {
		return false
	}
	// A pod that is gone long after the failure was deleted by somebody.
	return r.pod != nil && !terminating(r.pod) || s.due(r) > 0 || at == nil || s.now.Sub(at.Time) < burst
}

func (s *state) suspension() metav1.Condition {
	kind := v1alpha1.ConditionSuspended
	if !suspended(s.job) {
		return condition(kind, no, v1alpha1.ReasonNotSuspended, "spec.runPolicy.suspend is not true.")
	}
	if s.anyPod() {
		return condition(kind, no, v1alpha1.ReasonSuspending, "Pods are ending.")
	}
	return condition(kind, yes, v1alpha1.ReasonSuspended, "The job has no pods while spec.runPolicy.suspend is true.")
}

func (s *state) anyPod() bool {
	return len(s.surplus) > 0 || slices.ContainsFunc(s.replicas, func(r replica) bool { return r.pod != nil })
}

// inProgress is the root before the end: its reason and message are those of what the job waits for.
func (s *state) inProgress(running, restarting metav1.Condition) metav1.Condition {
	kind := v1alpha1.ConditionSucceeded
	switch {
	case restarting.Status == yes && running.Reason != v1alpha1.ReasonPodCannotStart:
		return condition(kind, unknown, restarting.Reason, restarting.Message)
	case running.Status != yes:
		return condition(kind, unknown, running.Reason, running.Message)
	}
	return condition(kind, unknown, v1alpha1.ReasonInProgress, "The job is running.")
}

// reconciling as kstatus reads it: a job that runs is current, as a batch Job is; so is one that is suspended.
func (s *state) reconciling(running metav1.Condition) metav1.Condition {
	kind := v1alpha1.ConditionReconciling
	if running.Status == yes || suspended(s.job) && !s.anyPod() {
		return condition(kind, no, running.Reason, running.Message)
	}
	return condition(kind, yes, v1alpha1.ReasonProgressing, running.Message)
}
