// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/podspec"
)

// objection is why a spec cannot be run.
type objection struct{ reason, message string }

// objections are asked in order; the first that is raised is the answer.
var objections = []func(*v1alpha1.TrainingJob) (objection, bool){
	unknownFramework,
	unsupportedField,
	missingEndpoint,
	reservedEnv,
}

// accept says why a job cannot be run, if so.
func accept(job *v1alpha1.TrainingJob) (objection, bool) {
	for _, ask := range objections {
		if o, raised := ask(job); raised {
			return o, true
		}
	}
	return objection{}, false
}

func unknownFramework(job *v1alpha1.TrainingJob) (objection, bool) {
	_, known := framework.Find(job.Spec.Framework)
	return objection{
		v1alpha1.ReasonFrameworkNotYetSupported,
		fmt.Sprintf("spec.framework: %s is not supported by this version of Millrace; PyTorch is.", job.Spec.Framework),
	}, !known
}

// unsupportedField: a field that is taken and ignored would be worse than one that is refused.
func unsupportedField(job *v1alpha1.TrainingJob) (objection, bool) {
	for i, r := range job.Spec.Roles {
		if r.Accelerator != nil {
			return notYet(fmt.Sprintf("spec.roles[%d].accelerator", i), "ask for devices in the template's resources")
		}
	}
	if job.Spec.RunPolicy.ProgressDeadlineSeconds != nil {
		return notYet("spec.runPolicy.progressDeadlineSeconds", "use activeDeadlineSeconds")
	}
	s := job.Spec.Scheduling
	switch {
	case s == nil:
		return objection{}, false
	case s.Gang != nil:
		return notYet("spec.scheduling.gang", "set schedulerName in the template for a scheduler that knows gangs")
	case s.Queue != "":
		return notYet("spec.scheduling.queue", "label the job's namespace or templates as the queueing system asks")
	case s.Topology != nil:
		return notYet("spec.scheduling.topology", "set affinity in the template")
	}
	return objection{}, false
}

func notYet(field, instead string) (objection, bool) {
	return objection{
		v1alpha1.ReasonFieldNotYetSupported,
		fmt.Sprintf("%s is not supported by this version of Millrace: remove it and %s.", field, instead),
	}, true
}

func missingEndpoint(job *v1alpha1.TrainingJob) (objection, bool) {
	e := framework.ElasticOf(job)
	if e == nil || e.Rendezvous == nil || e.Rendezvous.Endpoint != "" || e.Rendezvous.Backend == "" || e.Rendezvous.Backend == "c10d" {
		return objection{}, false
	}
	return objection{
		v1alpha1.ReasonInvalidSpec,
		fmt.Sprintf("spec.pytorch.elastic.rendezvous.endpoint: backend %s needs the host:port of an etcd server.", e.Rendezvous.Backend),
	}, true
}

// reservedEnv finds a variable in a template that the rendezvous sets. Two values of MASTER_ADDR are one too many, and
// whichever won, the job would hang without a word.
func reservedEnv(job *v1alpha1.TrainingJob) (objection, bool) {
	layout, _ := framework.Resolve(job)
	for i, r := range job.Spec.Roles {
		role := layout.Find(r.Name)
		reserved := layout.Reserved(framework.Member{Layout: layout, Role: role})
		clash, found := podspec.Clashes(&job.Spec.Roles[i].Template.Spec, reserved)
		if !found {
			continue
		}
		return objection{
			v1alpha1.ReasonReservedEnv,
			fmt.Sprintf("spec.roles[%d].template.spec.%s: %s is set by the job for the rendezvous: remove it; %s.",
				i, clash.Field, clash.Name, layout.Row.Instead(clash.Name)),
		}, true
	}
	return objection{}, false
}

// verdict is how a job ends.
type verdict struct {
	succeeded       bool
	reason, message string
	failure         *v1alpha1.Failure
}

// verdict asks the policies in order; the first to answer ends the job.
func (s *state) verdict() (verdict, bool) {
	for _, ask := range []func() (verdict, bool){s.deciderSucceeded, s.failedForGood, s.budgetSpent, s.budgetSpentInPlace, s.pastDeadline} {
		if v, over := ask(); over {
			return v, true
		}
	}
	return verdict{}, false
}

// deciderSucceeded: the role that decides has done its work; what the others do no longer matters.
func (s *state) deciderSucceeded() (verdict, bool) {
	role, enough := s.layout.Decider()
	if role == nil {
		return verdict{}, false
	}
	done := 0
	for _, r := range s.replicas {
		if r.Role.Name == role.Name && r.succeeded() {
			done++
		}
	}
	message := fmt.Sprintf("All pods of role %s have succeeded.", role.Name)
	if role.Count == 1 {
		message = fmt.Sprintf("Pod %s has succeeded.", names.Member(s.job.Name, role.Name, 0))
	}
	return verdict{succeeded: true, reason: v1alpha1.ReasonTrainingSucceeded, message: message}, enough(s.job, done, role.Count)
}

// failedForGood: a replica failed that its restart policy does not restart.
func (s *state) failedForGood() (verdict, bool) {
	if suspended(s.job) {
		return verdict{}, false
	}
	for _, f := range s.failures() {
		if !f.lost && !retried(f) {
			return verdict{
				reason: v1alpha1.ReasonReplicaFailed, failure: f.cause,
				message: fmt.Sprintf("%s. restartPolicy %s of role %s does not restart it.", sentence(f.cause), f.replica.Role.RestartPolicy, f.replica.Role.Name),
			}, true
		}
	}
	return verdict{}, false
}

// retried is the restart policy as a question to a failure.
func retried(f failure) bool {
	switch f.replica.Role.RestartPolicy {
	case v1alpha1.RestartNever:
		return false
	case v1alpha1.RestartExitCode:
		return f.cause.ExitCode == nil || *f.cause.ExitCode >= 128
	default:
		return true
	}
}

// budgetSpent: a unit failed once more than it may.
func (s *state) budgetSpent() (verdict, bool) {
	if suspended(s.job) {
		return verdict{}, false
	}
	for _, f := range s.failures() {
		unit := unitOf(f.replica.Member)
		if !f.lost && s.spent(unit, charge(f.replica.pod)) {
			return s.exceeded(unit, f.cause), true
		}
	}
	return verdict{}, false
}

// budgetSpentInPlace: the kubelet restarted a container once more than it may.
func (s *state) budgetSpentInPlace() (verdict, bool) {
	for _, r := range s.replicas {
		if r.current() && inPlace(r.pod) > 0 && s.spent(unitOf(r.Member), inPlace(r.pod)) {
			return s.exceeded(unitOf(r.Member), explain(r.pod, r.Role.Main)), true
		}
	}
	return verdict{}, false
}

func (s *state) spent(unit string, more int32) bool {
	if rec := record(s.job, unit); rec != nil {
		more += rec.Count
	}
	return more > budget(s.job)
}

func (s *state) exceeded(unit string, cause *v1alpha1.Failure) verdict {
	return verdict{
		reason: v1alpha1.ReasonRestartsExceeded, failure: cause,
		message: fmt.Sprintf("%s. %s has used up its restarts (spec.runPolicy.restarts.max is %d).", sentence(cause), unit, budget(s.job)),
	}
}

func (s *state) pastDeadline() (verdict, bool) {
	deadline := s.job.Spec.RunPolicy.ActiveDeadlineSeconds
	if deadline == nil || s.job.Status.StartTime == nil || suspended(s.job) || s.untilDeadline() > 0 {
		return verdict{}, false
	}
	return verdict{
		reason:  v1alpha1.ReasonDeadlineExceeded,
		message: fmt.Sprintf("The job was active for more than %d seconds (spec.runPolicy.activeDeadlineSeconds).", *deadline),
	}, true
}

// untilDeadline is the time left, and 0 when there is no deadline or it has passed.
func (s *state) untilDeadline() time.Duration {
	deadline := s.job.Spec.RunPolicy.ActiveDeadlineSeconds
	if deadline == nil || suspended(s.job) {
		return 0
	}
	start := s.now
	if s.job.Status.StartTime != nil {
		start = s.job.Status.StartTime.Time
	}
	return max(0, start.Add(seconds(deadline)).Sub(s.now))
}

// ended is true once the end of the job is in its status. It stays so whatever becomes of the pods.
func ended(job *v1alpha1.TrainingJob) bool {
	for _, c := range job.Status.Conditions {
		if c.Type == v1alpha1.ConditionSucceeded {
			return c.Status != metav1.ConditionUnknown
		}
	}
	return false
}

// unschedulable returns what the scheduler says of a pod it finds no node for.
func unschedulable(p *corev1.Pod) (string, bool) {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return fmt.Sprintf("Pod %s has no node: %s", p.Name, c.Message), true
		}
	}
	return "", false
}
