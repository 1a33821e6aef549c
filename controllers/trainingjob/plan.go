// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
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
	eventResize  = "Resized"
	eventExpire  = "Expired"
)

// Plan says which pods and which Service a job should have. It is pure.
func Plan(job *v1alpha1.TrainingJob, w World, now time.Time) engine.Plan {
	if ended(job) {
		return afterwards(job, w, now)
	}
	if _, refused := accept(job); refused {
		return engine.Plan{}
	}
	s := look(job, w, now)
	if _, over := s.verdict(); over {
		// What is left to do waits until the status says so: it removes the evidence.
		return engine.Plan{}
	}
	plan := engine.Plan{Apply: []engine.Object{service(s.layout)}, Again: s.untilDeadline()}
	if suspended(job) {
		plan.Delete = deletions(w.Pods, eventSuspend, "spec.runPolicy.suspend is true", anyPod)
		return plan
	}
	for _, r := range s.replicas {
		s.replace(&plan, r)
	}
	for i := range s.surplus {
		plan.Delete = append(plan.Delete, deletion(s.surplus[i], eventResize, "the job has fewer replicas now"))
	}
	return plan
}

// replace plans what one replica needs: a first pod, or a new one for one whose failure is recorded.
func (s *state) replace(plan *engine.Plan, r replica) {
	due := s.due(r)
	rec := record(s.job, unitOf(r.Member))
	switch {
	case r.pod == nil && rec != nil && s.unaccounted(rec) > 0:
		return // recording them changes the attempt that the pod to make belongs to
	case r.pod == nil && due == 0:
		plan.Create = append(plan.Create, engine.Step{Object: pod(r.Member, r.attempt)})
	case r.pod == nil:
		plan.Again = sooner(plan.Again, due)
	case !r.superseded() || terminating(r.pod):
		return
	case due > 0 && finished(r.pod):
		// Its log can be read until its turn comes.
		plan.Again = sooner(plan.Again, due)
	default:
		plan.Delete = append(plan.Delete, deletion(r.pod, eventRestart, "a new attempt begins"))
	}
}

// afterwards plans the clean-up of a finished job, and its end.
func afterwards(job *v1alpha1.TrainingJob, w World, now time.Time) engine.Plan {
	plan := engine.Plan{Delete: deletions(w.Pods, eventCleanUp, "the job has finished", toClean(job))}
	ttl := job.Spec.RunPolicy.TTLSecondsAfterFinished
	if ttl == nil || job.Status.CompletionTime == nil {
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
		return func(p *corev1.Pod) bool { return !finished(p) }
	}
}

// restless is true for a pod whose failing container the kubelet would start again and again, job or no job.
func restless(p *corev1.Pod) bool {
	return crashed(p) && !finished(p) && p.Spec.RestartPolicy != corev1.RestartPolicyNever
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
			Labels: map[string]string{
				names.ManagedBy: names.Manager, names.AppName: "trainingjob", names.Instance: names.Short(job.Name),
				names.TrainingJob: job.Name,
			},
		},
		Spec: corev1.ServiceSpec{
			ClusterIP: corev1.ClusterIPNone, PublishNotReadyAddresses: true,
			Selector: map[string]string{names.TrainingJob: job.Name},
			Ports: []corev1.ServicePort{{
				Name: l.Row.PortName, Port: l.Roles[0].Port, TargetPort: intstr.FromInt32(l.Roles[0].Port), Protocol: corev1.ProtocolTCP,
			}},
		},
	}
}

func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

func seconds(n *int32) time.Duration { return time.Duration(*n) * time.Second }

func attemptOf(p *corev1.Pod) int32 {
	n, err := strconv.ParseInt(p.Labels[names.Attempt], 10, 32)
	if err != nil {
		return 0
	}
	return int32(n)
}
