// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/config/crd"
	"github.com/millrace-ml/millrace/controllers/trainingjob"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/offline"
)

// life is a converted job in a cluster that does at once what it is asked for: every pod that is made runs, and the kubelet
// restarts containers by the pod's restartPolicy.
type life struct {
	*testing.T
	job  *v1alpha1.TrainingJob
	pods map[string]*corev1.Pod
	now  time.Time
	// made counts the pods that were made, by name.
	made map[string]int
	// restarted are the pods that were made anew, or whose container the kubelet has started again.
	restarted map[string]bool
	// expired is true when the job itself was deleted.
	expired bool
}

// begin converts a manifest and lets the job run.
func begin(t *testing.T, manifest string) *life {
	t.Helper()
	l := &life{
		T: t, job: admitted(t, mill(t, manifest, "convert")), pods: map[string]*corev1.Pod{},
		now: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), made: map[string]int{}, restarted: map[string]bool{},
	}
	l.settle()
	return l
}

// admitted is the TrainingJob of a manifest as an API server stores it.
func admitted(t *testing.T, manifest string) *v1alpha1.TrainingJob {
	t.Helper()
	schemas, err := offline.Load(crd.FS)
	if err != nil {
		t.Fatal(err)
	}
	objects, problems := offline.Split("converted", []byte(manifest))[0].Objects()
	if len(problems) > 0 || len(objects) != 1 {
		t.Fatalf("%d objects, %v", len(objects), problems)
	}
	stored, refusal := schemas.Admit(t.Context(), objects[0].Unstructured, "team")
	if !refusal.Empty() {
		t.Fatal(refusal.Problems(objects[0]))
	}
	var job v1alpha1.TrainingJob
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(stored.Object, &job); err != nil {
		t.Fatal(err)
	}
	return &job
}

// settle does what the manager wants until it wants nothing more, or only to wait for longer than a restart takes.
func (l *life) settle() {
	l.Helper()
	for range 100 {
		world := trainingjob.World{}
		for _, name := range slices.Sorted(maps.Keys(l.pods)) {
			world.Pods = append(world.Pods, *l.pods[name])
		}
		trainingjob.Report(l.job, world, l.now)
		plan := trainingjob.Plan(l.job, world, l.now)
		if l.do(plan) {
			continue
		}
		if plan.Again == 0 || plan.Again > 10*time.Second {
			return
		}
		l.now = l.now.Add(plan.Again)
	}
	l.Fatal("the job does not come to rest")
}

// do does what a plan wants, and is true if that was something.
func (l *life) do(plan engine.Plan) bool {
	did := false
	for _, step := range plan.Delete {
		if step.Object == engine.Object(l.job) {
			l.expired = true
			return false
		}
		delete(l.pods, step.Object.GetName())
		did = true
	}
	for _, step := range plan.Create {
		pod, ok := step.Object.(*corev1.Pod)
		if !ok || l.pods[pod.Name] != nil {
			continue
		}
		l.create(pod.DeepCopy())
		did = true
	}
	return did
}

func (l *life) create(p *corev1.Pod) {
	l.made[p.Name]++
	if l.made[p.Name] > 1 {
		l.restarted[p.Name] = true
	}
	p.UID, p.CreationTimestamp = types.UID(p.Name+strconv.Itoa(l.made[p.Name])), metav1.NewTime(l.now)
	p.Spec.NodeName = "node"
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	for _, c := range p.Spec.Containers {
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: c.Name, State: l.running()})
	}
	l.pods[p.Name] = p
}

func (l *life) running() corev1.ContainerState {
	return corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(l.now)}}
}

// happen lets something happen to a pod: its program exits with a code, or the pod is evicted or deleted.
func (l *life) happen(what string) {
	l.Helper()
	l.now = l.now.Add(time.Minute)
	if what == "an hour" {
		l.now = l.now.Add(time.Hour)
		l.settle()
		return
	}
	name, how, _ := strings.Cut(what, " ")
	pod := l.pods[l.job.Name+"-"+name]
	if pod == nil {
		l.Fatalf("there is no pod %s for: %s", name, what)
	}
	switch code, err := strconv.Atoi(how); {
	case err == nil:
		l.exit(pod, int32(code))
	case how == "evicted":
		pod.Status.Phase, pod.Status.Reason = corev1.PodFailed, "Evicted"
	case how == "deleted":
		delete(l.pods, pod.Name)
	default:
		l.Fatalf("nobody knows how to: %s", what)
	}
	l.settle()
}

// exit ends the container of a pod. The kubelet starts it again where the pod wants that.
func (l *life) exit(p *corev1.Pod, code int32) {
	end := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, FinishedAt: metav1.NewTime(l.now)}}
	status := &p.Status.ContainerStatuses[0]
	if p.Spec.RestartPolicy == corev1.RestartPolicyOnFailure && code != 0 {
		status.LastTerminationState, status.State = end, l.running()
		status.RestartCount++
		l.restarted[p.Name] = true
		return
	}
	status.State = end
	if p.Status.Phase = corev1.PodSucceeded; code != 0 {
		p.Status.Phase = corev1.PodFailed
	}
}

// short are pods by the names they have in the job, in one line.
func (l *life) short(pods []string) string {
	slices.Sort(pods)
	for i := range pods {
		pods[i] = strings.TrimPrefix(pods[i], l.job.Name+"-")
	}
	return strings.Join(pods, " ")
}

// operators are the kinds by name: their version, and where they keep their roles and main container.
var operators = map[string]struct{ version, specs, container string }{
	"PyTorchJob":     {"v1", "pytorchReplicaSpecs", "pytorch"},
	"TFJob":          {"v1", "tfReplicaSpecs", "tensorflow"},
	"MXJob":          {"v1", "mxReplicaSpecs", "mxnet"},
	"XGBoostJob":     {"v1", "xgbReplicaSpecs", "xgboost"},
	"JAXJob":         {"v1", "jaxReplicaSpecs", "jax"},
	"MPIJob":         {"v1", "mpiReplicaSpecs", "mpi"},
	"MPIJob v2beta1": {"v2beta1", "mpiReplicaSpecs", "mpi"},
}

// manifest is a job of a kind with roles such as "Chief, PS 2 Never": a name, a number of replicas, a restart policy.
func manifest(kind, roles, spec string) string {
	of := operators[kind]
	kind, _, _ = strings.Cut(kind, " ")
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: kubeflow.org/%s\nkind: %s\nmetadata: {name: j}\nspec:\n", of.version, kind)
	for line := range strings.Lines(spec) {
		fmt.Fprintf(&b, "  %s\n", strings.TrimSpace(line))
	}
	fmt.Fprintf(&b, "  %s:\n", of.specs)
	for role := range strings.SplitSeq(roles, ", ") {
		words := strings.Fields(role)
		replicas := "1"
		if len(words) > 1 {
			replicas = words[1]
		}
		fmt.Fprintf(&b, "    %s:\n      replicas: %s\n", words[0], replicas)
		if len(words) > 2 {
			fmt.Fprintf(&b, "      restartPolicy: %s\n", words[2])
		}
		fmt.Fprintf(&b, "      template: {spec: {containers: [{name: %s, image: \"test-server:1\"}]}}\n", of.container)
	}
	return b.String()
}
