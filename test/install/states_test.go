// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/config/crd"
	"github.com/millrace-ml/millrace/controllers/trainingjob"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/offline"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const manifest = `
apiVersion: millrace.dev/v1alpha1
kind: TrainingJob
metadata: {name: digits, namespace: team, generation: 1}
spec:
  framework: PyTorch
  roles:
    - name: Master
      restartPolicy: Never
      template: {spec: {containers: [{name: pytorch, image: train}]}}
    - name: Worker
      template: {spec: {containers: [{name: pytorch, image: train}]}}
`

// state is a job as a client reads it, and what the readers are to make of it.
type state struct {
	job func(*testing.T) *v1alpha1.TrainingJob
	// kstatus is what Flux and kpt are to say, argo is what Argo CD is.
	kstatus, argo string
}

// states are all that a job can be in. Their statuses come from the controller itself.
var states = map[string]state{
	"brand new, not yet seen by the manager": {fresh, "InProgress", "Progressing"},
	"changed since the manager saw it": {func(t *testing.T) *v1alpha1.TrainingJob {
		job := reported(t, pods(running, running)...)
		job.Generation = 2
		return job
	}, "InProgress", "Progressing"},
	"without pods yet":              {with(), "InProgress", "Progressing"},
	"waiting for a node":            {with(waiting, running), "InProgress", "Progressing"},
	"with a pod that cannot start":  {with(running, imageless), "InProgress", "Progressing"},
	"running":                       {with(running, running), "Current", "Progressing"},
	"with a worker that is retried": {with(running, failed), "InProgress", "Progressing"},
	"succeeded":                     {with(succeeded, succeeded), "Current", "Healthy"},
	"failed":                        {with(failed, running), "Failed", "Degraded"},
	"suspended": {func(t *testing.T) *v1alpha1.TrainingJob {
		return report(fresh(t), func(job *v1alpha1.TrainingJob) { job.Spec.RunPolicy.Suspend = new(true) })
	}, "Current", "Suspended"},
	"ending its pods to be suspended": {func(t *testing.T) *v1alpha1.TrainingJob {
		return report(fresh(t), func(job *v1alpha1.TrainingJob) { job.Spec.RunPolicy.Suspend = new(true) }, pods(running, running)...)
	}, "InProgress", "Progressing"},
	"of a framework there is not": {func(t *testing.T) *v1alpha1.TrainingJob {
		return report(fresh(t), func(job *v1alpha1.TrainingJob) { job.Spec.Framework = "Abacus" })
	}, "Failed", "Degraded"},
	"whose Service's name is taken": {refused(engine.Refusal{
		Verb: "apply", Kind: "Service", Name: "digits", Cause: engine.Taken, Message: "it is not this job's",
	}), "Failed", "Degraded"},
	"over its quota": {refused(engine.Refusal{
		Verb: "create", Kind: "Pod", Name: "digits-master-0", Cause: engine.Quota, Message: "exceeded quota",
	}), "InProgress", "Progressing"},
}

func with(phases ...func(*corev1.Pod)) func(*testing.T) *v1alpha1.TrainingJob {
	return func(t *testing.T) *v1alpha1.TrainingJob { return reported(t, pods(phases...)...) }
}

func refused(r engine.Refusal) func(*testing.T) *v1alpha1.TrainingJob {
	return func(t *testing.T) *v1alpha1.TrainingJob {
		job := reported(t)
		trainingjob.Refuse(job, []engine.Refusal{r})
		return job
	}
}

// fresh is the job as the API server stores it, before any manager has seen it.
func fresh(t *testing.T) *v1alpha1.TrainingJob {
	t.Helper()
	given := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(manifest), &given.Object); err != nil {
		t.Fatal(err)
	}
	schemas, err := offline.Load(crd.FS)
	if err != nil {
		t.Fatal(err)
	}
	stored, refusal := schemas.Admit(t.Context(), given, "team")
	if !refusal.Empty() {
		t.Fatal(refusal)
	}
	job := &v1alpha1.TrainingJob{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(stored.Object, job); err != nil {
		t.Fatal(err)
	}
	job.Generation = 1
	return job
}

func reported(t *testing.T, pods ...corev1.Pod) *v1alpha1.TrainingJob {
	t.Helper()
	return report(fresh(t), func(*v1alpha1.TrainingJob) {}, pods...)
}

// report is the job after one pass of the controller.
func report(job *v1alpha1.TrainingJob, change func(*v1alpha1.TrainingJob), pods ...corev1.Pod) *v1alpha1.TrainingJob {
	change(job)
	trainingjob.Report(job, trainingjob.World{Pods: pods}, now)
	job.Status.ObservedGeneration = job.Generation
	return job
}

// pods are the job's master and workers, in the given states.
func pods(phases ...func(*corev1.Pod)) []corev1.Pod {
	names := []string{"digits-master-0", "digits-worker-0"}
	made := make([]corev1.Pod, len(phases))
	for i, play := range phases {
		made[i].ObjectMeta = metav1.ObjectMeta{Name: names[i], Namespace: "team"}
		made[i].Spec.NodeName = "node"
		play(&made[i])
	}
	return made
}

func running(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning }

func succeeded(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }

func waiting(p *corev1.Pod) { p.Spec.NodeName, p.Status.Phase = "", corev1.PodPending }

func failed(p *corev1.Pod) {
	p.Status.Phase = corev1.PodFailed
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "pytorch", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3, Reason: "Error"}},
	}}
}

func imageless(p *corev1.Pod) {
	p.Status.Phase = corev1.PodPending
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "pytorch", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "not found"}},
	}}
}

func toUnstructured(t *testing.T, job *v1alpha1.TrainingJob) *unstructured.Unstructured {
	t.Helper()
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(job)
	if err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: object}
}
