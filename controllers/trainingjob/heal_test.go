// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/health"
	"github.com/millrace-ml/millrace/internal/names"
)

func (b *bench) pod(name string) *corev1.Pod {
	b.t.Helper()
	p := &corev1.Pod{}
	if err := b.Get(b.t.Context(), client.ObjectKey{Namespace: b.namespace, Name: name}, p); err != nil {
		b.t.Fatal(err)
	}
	return p
}

// place gives a pod to a node, as the scheduler does.
func (b *bench) place(pod, node string) {
	b.t.Helper()
	binding := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: node}}
	if err := b.SubResource("binding").Create(b.t.Context(), b.pod(pod), binding); err != nil {
		b.t.Fatal(err)
	}
}

// remove takes a pod out of the API server at once.
func (b *bench) remove(name string) {
	b.t.Helper()
	if err := b.Delete(b.t.Context(), b.pod(name), client.GracePeriodSeconds(0)); err != nil {
		b.t.Fatal(err)
	}
}

// breakDevice lets the kubelet say that a device of a pod is unhealthy.
func (b *bench) breakDevice(pod, device string) {
	b.t.Helper()
	victim := b.pod(pod)
	victim.Status.ContainerStatuses[0].AllocatedResourcesStatus = []corev1.ResourceStatus{{
		Name: "example.com/gpu", Resources: []corev1.ResourceHealth{{ResourceID: corev1.ResourceID(device), Health: corev1.ResourceHealthStatusUnhealthy}},
	}}
	if err := b.Status().Update(b.t.Context(), victim); err != nil {
		b.t.Fatal(err)
	}
}

// losesDevice plays that a pod on a node loses a device: it has to leave. Its replacement is returned.
func (b *bench) losesDevice(pod, node, device string) *corev1.Pod {
	b.t.Helper()
	b.place(pod, node)
	b.play(corev1.PodRunning)
	b.settle("digits")
	b.breakDevice(pod, device)
	b.settle("digits")
	if b.pod(pod).DeletionTimestamp == nil {
		b.t.Fatalf("the pod stays with device %s", device)
	}
	b.want(v1alpha1.ConditionRestarting, yes, v1alpha1.ReasonDeviceUnhealthy)
	b.remove(pod)
	b.clock.SetTime(b.clock.Now().Add(time.Minute))
	b.settle("digits")
	return b.pod(pod)
}

func TestAPodLeavesADeviceThatTurnsUnhealthy(t *testing.T) {
	b := newBench(t)
	b.create(func(j *v1alpha1.TrainingJob) {
		gpu := corev1.ResourceList{"example.com/gpu": resource.MustParse("1")}
		j.Spec.Roles[1].Template.Spec.Containers[0].Resources = corev1.ResourceRequirements{Limits: gpu, Requests: gpu}
	})
	b.settle("digits")
	anew := b.losesDevice("digits-worker-1", "gpu-9", "GPU-1")
	if anew.Annotations[names.Avoids] != "" || anew.Labels[names.Attempt] != "1" {
		t.Errorf("after one device the new pod avoids %q in attempt %s", anew.Annotations[names.Avoids], anew.Labels[names.Attempt])
	}
	if a := anew.Spec.Affinity; a == nil || a.NodeAffinity == nil || len(a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution) != 1 {
		t.Errorf("after one device the new pod prefers no other node: %+v", a)
	}
	job := b.job("digits")
	if len(job.Status.Restarts) != 1 || job.Status.Restarts[0].Count != 0 || len(job.Status.Nodes) != 1 || job.Status.Nodes[0].Verdict != v1alpha1.NodeSuspect {
		t.Errorf("after one device restarts %+v, nodes %+v", job.Status.Restarts, job.Status.Nodes)
	}
	anew = b.losesDevice("digits-worker-1", "gpu-9", "GPU-2")
	if anew.Annotations[names.Avoids] != "gpu-9" || anew.Labels[names.Attempt] != "2" {
		t.Errorf("after two devices the new pod avoids %q in attempt %s", anew.Annotations[names.Avoids], anew.Labels[names.Attempt])
	}
	if nodes := b.job("digits").Status.Nodes; len(nodes) != 1 || nodes[0].Verdict != v1alpha1.NodeBad {
		t.Errorf("after two devices nodes %+v", nodes)
	}
	b.play(corev1.PodRunning)
	b.settle("digits")
	b.clock.SetTime(b.clock.Now().Add(31 * time.Minute))
	b.settle("digits")
	if job := b.job("digits"); len(job.Status.Nodes) != 0 {
		t.Errorf("the node is not forgiven: %+v", job.Status.Nodes)
	}
}

func TestASuccessIsKeptThoughItsPodIsDeletedASecondLater(t *testing.T) {
	b := newBench(t)
	b.create(func(j *v1alpha1.TrainingJob) { j.Name = "letters" })
	b.settle("letters")
	b.play(corev1.PodRunning)
	b.settle("letters")
	for _, name := range []string{"letters-worker-0", "letters-worker-1"} {
		b.playOne(name, corev1.PodSucceeded, 0)
		again, err := b.pass("letters")
		if err != nil || again > time.Second {
			t.Fatalf("comes back after %v, %v, want a second at most", again, err)
		}
		b.clock.SetTime(b.clock.Now().Add(time.Second))
		b.settle("letters")
		b.remove(name)
		b.settle("letters")
	}
	if got := len(b.pods()); got != 1 {
		t.Errorf("got %d pods, want 1: what has succeeded is not run again", got)
	}
}

func TestOnlyASuccessIsInAHurry(t *testing.T) {
	roles := func(roles ...v1alpha1.RoleStatus) *v1alpha1.TrainingJob {
		return &v1alpha1.TrainingJob{Status: v1alpha1.TrainingJobStatus{Roles: roles}}
	}
	waits, done := v1alpha1.RoleStatus{Name: "Worker"}, v1alpha1.RoleStatus{Name: "Worker", SucceededIndexes: "0"}
	for name, c := range map[string]struct {
		before, after *v1alpha1.TrainingJob
		want          bool
	}{
		"the first status":     {roles(), roles(waits), false},
		"nothing has changed":  {roles(done), roles(done), false},
		"one has succeeded":    {roles(waits), roles(done), true},
		"already in the first": {roles(), roles(done), true},
		"one is run again":     {roles(done), roles(waits), true},
	} {
		if got := succeeded(c.before, c.after); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestReplacementsAreCountedByEvidence(t *testing.T) {
	before, after := &v1alpha1.TrainingJob{}, &v1alpha1.TrainingJob{}
	before.Status.Restarts = []v1alpha1.Restart{{Unit: "worker-0", Lost: 1, Cause: &v1alpha1.Failure{Reason: "NodeTaint"}}}
	after.Status.Restarts = []v1alpha1.Restart{
		{Unit: "worker-0", Lost: 1, Cause: &v1alpha1.Failure{Reason: "NodeTaint"}},
		{Unit: "worker-1", Lost: 2, Cause: &v1alpha1.Failure{Reason: "DeviceUnhealthy"}},
		{Unit: "worker-2", Lost: 1, Cause: &v1alpha1.Failure{Reason: "Evicted"}},
	}
	want := []engine.Count{{What: "replaced", Variant: "DeviceUnhealthy", Times: 2}}
	if diff := gocmp.Diff(want, replacements(before, after)); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestOnlyTheLastNodesAreRemembered(t *testing.T) {
	s := &state{job: &v1alpha1.TrainingJob{}}
	for i := range maxNodes + 2 {
		s.setNode(v1alpha1.JudgedNode{Name: names.Member("n", "x", i), Verdict: v1alpha1.NodeBad})
	}
	nodes := s.job.Status.Nodes
	if len(nodes) != maxNodes || nodes[0].Name != "n-x-2" || nodes[maxNodes-1].Name != names.Member("n", "x", maxNodes+1) {
		t.Errorf("got %d nodes, from %s", len(nodes), nodes[0].Name)
	}
}

func TestNothingIsHeldAgainstANodeWhenHealingIsOff(t *testing.T) {
	s := &state{job: &v1alpha1.TrainingJob{}, world: World{Healing: health.Policy{Off: true}}}
	p := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "gpu-1"}}
	for range health.Enough {
		s.blame(failure{replica: replica{Member: framework.Member{Role: &framework.Role{}}, pod: p}, cause: &v1alpha1.Failure{Reason: "OutOfcpu"}})
	}
	if nodes := s.job.Status.Nodes; len(nodes) != 0 {
		t.Errorf("recorded %+v", nodes)
	}
}

func TestJobsOnANodeAreWokenOnce(t *testing.T) {
	found := requests([]types.NamespacedName{{Namespace: "a", Name: "x"}, {Namespace: "b", Name: "x"}, {Namespace: "a", Name: "x"}})
	if len(found) != 2 {
		t.Errorf("woke %v", found)
	}
}
