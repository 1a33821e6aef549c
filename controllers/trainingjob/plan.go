// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/names"
)

// Reasons of the events that tell of deleted pods.
const (
	eventRestart = "ReplicaRestarted"
	eventCleanUp = "CleanedUp"
	eventSuspend = "PodsSuspended"
	eventEvict   = "PodsEvicted"
	eventResize  = "Resized"
	eventExpire  = "Expired"
	eventForce   = "ForceDeleted"
)

// Plan says which pods and which Service a job should have. It is pure.
func Plan(job *v1alpha1.TrainingJob, w World, now time.Time) engine.Plan {
	plan := outline(job, w, now)
	force(&plan, job, w, now)
	return plan
}

func outline(job *v1alpha1.TrainingJob, w World, now time.Time) engine.Plan {
	if ended(job) {
		plan := afterwards(job, w, now)
		leave(&plan, job, w, now)
		return plan
	}
	if _, refused := refuses(job, w); refused {
		return engine.Plan{}
	}
	s := look(job, w, now)
	if dispatched(job) {
		return s.dispatch()
	}
	if _, over := s.verdict(); over {
		// What is left to do waits until the status says so: it removes the evidence.
		return engine.Plan{}
	}
	plan := engine.Plan{Apply: []engine.Object{service(s.layout)}, Again: engine.Soonest(s.untilDeadline(), s.untilStalled(), s.unsettled, s.untilJudged())}
	if s.halted() {
		plan.Delete = s.stop()
		disbandAll(&plan, w)
		s.enqueue(&plan)
		plan.Again = engine.Soonest(plan.Again, s.untilRecount())
		return plan
	}
	if s.wait == nil {
		s.claims(&plan)
	}
	s.admit(&plan)
	s.remote(&plan)
	s.assemble(&plan)
	_, again := s.overlooked()
	plan.Again = engine.Soonest(plan.Again, again)
	if s.wait != nil {
		plan.Again = engine.Soonest(plan.Again, s.wait.again)
	}
	gone := s.unaccounted()
	for _, r := range s.replicas {
		// Recording restarts of a pod that is gone changes the attempt that the pod to make belongs to.
		if r.pod != nil || gone[r.unit] == 0 {
			s.replace(&plan, r)
		}
	}
	for i := range s.surplus {
		plan.Delete = append(plan.Delete, deletion(s.surplus[i], eventResize, "the job has fewer replicas now"))
	}
	return plan
}

// replace plans what one replica needs: a first pod, or a new one for one whose failure is recorded.
func (s *state) replace(plan *engine.Plan, r replica) {
	due := s.due(r)
	switch {
	case r.pod == nil && (r.done || r.vanished || s.held(r)):
		return // a loss is recorded first: that makes the new pod one of another attempt
	case r.pod == nil && due == 0:
		plan.Create = append(plan.Create, engine.Step{Object: s.make(r)})
	case r.pod == nil:
		plan.Again = engine.Soonest(plan.Again, due)
	case !r.superseded() || terminating(r.pod):
		return
	case due > 0 && atRest(r.pod):
		// Its log can be read until its turn comes.
		plan.Again = engine.Soonest(plan.Again, due)
	default:
		reason, why := s.parting()
		plan.Delete = append(plan.Delete, deletion(r.pod, reason, why))
	}
}

// held is true for a pod that must not be made yet. What restarts together waits until all of its old pods are gone: a new
// process that still finds an old one would join it and die with it. A launcher waits for what it launches on.
func (s *state) held(r replica) bool {
	return s.wait != nil || s.leaving(r) || s.awaitsWorkers(r)
}

// leaving is true while a pod of an earlier attempt exists that a new one of the replica must not meet.
func (s *state) leaving(r replica) bool {
	return s.resuming() && len(s.outdated) > 0 || s.layout.Scope() != v1alpha1.ScopeReplica && s.outdated[r.unit]
}

// force removes pods whose node does not answer, when their time to end is over for long enough. The kubelet would confirm the
// end of a pod; without it the pod's name is never free again.
func force(plan *engine.Plan, job *v1alpha1.TrainingJob, w World, now time.Time) {
	timeout := time.Minute
	if t := job.Spec.RunPolicy.TerminatingTimeoutSeconds; t != nil {
		timeout = seconds(t)
	}
	for i := range w.Pods {
		p := &w.Pods[i]
		if !terminating(p) {
			continue
		}
		left := p.DeletionTimestamp.Add(timeout).Sub(now)
		switch {
		case p.DeletionGracePeriodSeconds != nil && *p.DeletionGracePeriodSeconds == 0:
			// It is removed by force already; a finalizer holds it.
		case left > 0:
			plan.Again = engine.Soonest(plan.Again, left)
		case slices.Contains(w.Silent, p.Spec.NodeName):
			step := deletion(p, eventForce, "node "+p.Spec.NodeName+" does not answer")
			step.Grace = new(int64(0))
			plan.Delete = append(plan.Delete, step)
		default:
			plan.Again = engine.Soonest(plan.Again, max(timeout, time.Second))
		}
	}
}

// afterwards plans the clean-up of a finished job, and its end.
func afterwards(job *v1alpha1.TrainingJob, w World, now time.Time) engine.Plan {
	plan := engine.Plan{Delete: deletions(w.Pods, eventCleanUp, "the job has finished", toClean(job))}
	if job.Spec.RunPolicy.CleanPods != v1alpha1.CleanNone {
		disbandAll(&plan, w)
	}
	ttl := job.Spec.RunPolicy.TTLSecondsAfterFinished
	// A copy that is gone before Kueue has copied its end back counts as lost, and the job as one to run once more: the copy goes with it.
	if ttl == nil || job.Status.CompletionTime == nil || sentHere(job) {
		return plan
	}
	left := job.Status.CompletionTime.Add(seconds(ttl)).Sub(now)
	if left > 0 {
		plan.Again = left
		return plan
	}
	plan.Delete = []engine.Step{{Object: job, Reason: eventExpire}}
	return plan
}

// toClean is the clean-up policy as a question to a pod.
func toClean(job *v1alpha1.TrainingJob) func(*corev1.Pod) bool {
	switch job.Spec.RunPolicy.CleanPods {
	case v1alpha1.CleanAll:
		return anyPod
	case v1alpha1.CleanNone:
		return restless
	default:
		return func(p *corev1.Pod) bool { return !atRest(p) }
	}
}

// restless is true for a pod whose failing container the kubelet would start again and again, job or no job.
func restless(p *corev1.Pod) bool {
	return slices.ContainsFunc(allStatuses(p), crashed) && !finished(p) && p.Spec.RestartPolicy != corev1.RestartPolicyNever
}

func anyPod(*corev1.Pod) bool { return true }

func deletions(pods []corev1.Pod, reason, why string, which func(*corev1.Pod) bool) []engine.Step {
	var steps []engine.Step
	for i := range pods {
		if p := &pods[i]; !terminating(p) && which(p) {
			steps = append(steps, deletion(p, reason, why))
		}
	}
	return steps
}

func deletion(p *corev1.Pod, reason, why string) engine.Step {
	return engine.Step{Object: p, Reason: reason, Why: why}
}

// service is the headless Service that makes <pod>.<job>.<namespace>.svc resolve, before pods are ready too: they look
// for each other before they can be.
func service(l *framework.Layout) *corev1.Service {
	job := l.Job
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Name: job.Name, Namespace: job.Namespace,
			Labels: ownLabels(job),
		},
		Spec: corev1.ServiceSpec{
			ClusterIP: corev1.ClusterIPNone, PublishNotReadyAddresses: true,
			Selector: map[string]string{names.TrainingJob: job.Name},
			Ports:    ports(l),
		},
	}
}

// ownLabels are of the objects beside the pods.
func ownLabels(job *v1alpha1.TrainingJob) map[string]string {
	return map[string]string{
		names.ManagedBy: names.Manager, names.AppName: "trainingjob", names.Instance: names.Short(job.Name),
		names.TrainingJob: job.Name,
	}
}

// ports of the Service: the first role's. A framework whose pods need not listen has none.
func ports(l *framework.Layout) []corev1.ServicePort {
	if l.Row.PortName == "" {
		return nil
	}
	port := l.Roles[0].Port
	return []corev1.ServicePort{{Name: l.Row.PortName, Port: port, TargetPort: intstr.FromInt32(port), Protocol: corev1.ProtocolTCP}}
}

func seconds(n *int32) time.Duration { return time.Duration(*n) * time.Second }

func attemptOf(p *corev1.Pod) int32 {
	n, err := strconv.ParseInt(p.Labels[names.Attempt], 10, 32)
	if err != nil {
		return 0
	}
	return int32(n)
}
