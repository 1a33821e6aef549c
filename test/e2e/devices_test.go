// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// gpu is the simulated resource, and gpus how many of it the specs count on.
const (
	gpu  = "nvidia.com/gpu"
	gpus = 4
)

// needGPUs skips a spec on a cluster without the local one's simulated GPUs, and waits until all of them can be given.
func needGPUs(ctx context.Context) {
	GinkgoHelper()
	var nodes corev1.NodeList
	Expect(cluster.List(ctx, &nodes, client.MatchingLabels{"nvidia.com/gpu.product": "Simulated-A100", "nvidia.com/gpu.count": strconv.Itoa(gpus)})).To(Succeed())
	if len(nodes.Items) == 0 {
		Skip("no node has simulated GPUs: make up GPUS=4")
	}
	Eventually(func() int64 {
		node := &corev1.Node{}
		Expect(cluster.Get(ctx, client.ObjectKeyFromObject(&nodes.Items[0]), node)).To(Succeed())
		given := node.Status.Allocatable[gpu]
		return given.Value()
	}).Should(BeEquivalentTo(gpus), "GPUs that can be given")
}

// withGPU makes each pod of a job of one role ask for a GPU.
func withGPU(job *v1alpha1.TrainingJob) {
	mainOf(job, 0).Resources.Limits = corev1.ResourceList{gpu: resource.MustParse("1")}
	mainOf(job, 0).Resources.Requests[gpu] = resource.MustParse("1")
}

// setHealth makes a simulated GPU of the local cluster healthy or unhealthy.
func setHealth(ctx context.Context, device, health string) {
	GinkgoHelper()
	said, err := exec.CommandContext(ctx, "go", "run", "-C", "../../hack/cluster", ".", "gpu", strings.TrimPrefix(device, "gpu-"), health).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(said))
}

// failDevice makes a GPU unhealthy until the spec is over.
func failDevice(ctx SpecContext, device string) {
	GinkgoHelper()
	DeferCleanup(func(ctx SpecContext) { setHealth(ctx, device, "healthy") })
	setHealth(ctx, device, "unhealthy")
}

// deviceOf is the device that the kubelet gave a pod, by the pod's own environment.
func deviceOf(ctx context.Context, pod types.NamespacedName, variable string) string {
	GinkgoHelper()
	env := run(ctx, "KUBECTL", "-n", pod.Namespace, "exec", pod.Name, "--", "sh", "-c", "echo $"+variable)
	Expect(env.code).To(BeZero(), env.err)
	return strings.TrimSpace(env.out)
}

// healthOf is what the kubelet says of a pod's devices.
func healthOf(ctx context.Context, pod types.NamespacedName) func() map[string]string {
	return func() map[string]string {
		p := &corev1.Pod{}
		found := map[string]string{}
		if cluster.Get(ctx, pod, p) != nil || len(p.Status.ContainerStatuses) == 0 {
			return found
		}
		for _, r := range p.Status.ContainerStatuses[0].AllocatedResourcesStatus {
			for _, d := range r.Resources {
				found[string(d.ResourceID)] = string(d.Health)
			}
		}
		return found
	}
}

// The specs share the node's GPUs: one at a time.
var _ = Describe("simulated GPUs", Ordered, ContinueOnFailure, func() {
	It("are given by the kubelet, each to one pod, and who comes late waits", func(ctx SpecContext) {
		needGPUs(ctx)
		namespace := newNamespace(ctx)
		full := training(namespace, "full", role("Worker", gpus, "sleep 3600"))
		late := training(namespace, "late", role("Worker", 1, "true"))
		withGPU(full)
		withGPU(late)
		create(ctx, full)
		expect(ctx, full, v1alpha1.ConditionRunning, "True AllRunning")
		var devices []string
		for name := range pods(ctx, full) {
			devices = append(devices, deviceOf(ctx, types.NamespacedName{Namespace: namespace, Name: name}, "NVIDIA_VISIBLE_DEVICES"))
		}
		slices.Sort(devices)
		Expect(devices).To(Equal([]string{"gpu-0", "gpu-1", "gpu-2", "gpu-3"}))

		create(ctx, late)
		expect(ctx, late, v1alpha1.ConditionScheduled, "False Unschedulable")
		Expect(condition(ctx, late, v1alpha1.ConditionScheduled)()).To(ContainSubstring("Insufficient " + gpu))
		Expect(cluster.Delete(ctx, full)).To(Succeed())
		expect(ctx, late, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
	})

	It("show in a pod's status that they are unhealthy", func(ctx SpecContext) {
		needGPUs(ctx)
		job := training(newNamespace(ctx), "sick", role("Worker", 1, "sleep 3600"))
		withGPU(job)
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionRunning, "True AllRunning")
		pod := types.NamespacedName{Namespace: job.Namespace, Name: "sick-worker-0"}
		device := deviceOf(ctx, pod, "NVIDIA_VISIBLE_DEVICES")
		Eventually(healthOf(ctx, pod)).Should(Equal(map[string]string{device: "Healthy"}))
		failDevice(ctx, device)
		Eventually(healthOf(ctx, pod)).Should(Or(Equal(map[string]string{device: "Unhealthy"}), BeEmpty()), "BeEmpty: a job that heals has replaced the pod")
	})

	It("that become unhealthy cost a job one pod, which nobody is charged for", Label("healing"), func(ctx SpecContext) {
		needGPUs(ctx)
		job := training(newNamespace(ctx), "healed", role("Worker", 2, "sleep 3600"))
		job.Spec.RunPolicy.Restarts.Max = new(int32(0))
		withGPU(job)
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionRunning, "True AllRunning")
		before := uids(ctx, job)()
		pod := types.NamespacedName{Namespace: job.Namespace, Name: "healed-worker-1"}
		node, device := pods(ctx, job)[pod.Name].Spec.NodeName, deviceOf(ctx, pod, "NVIDIA_VISIBLE_DEVICES")
		failDevice(ctx, device)
		Eventually(uids(ctx, job)).ShouldNot(HaveKeyWithValue(pod.Name, before[pod.Name]))
		expect(ctx, job, v1alpha1.ConditionRunning, "True AllRunning")
		Expect(uids(ctx, job)()).To(HaveKeyWithValue("healed-worker-0", before["healed-worker-0"]))
		Expect(deviceOf(ctx, pod, "NVIDIA_VISIBLE_DEVICES")).NotTo(Equal(device))
		Expect(charged(job)).To(BeZero())
		status, err := json.Marshal(job.Status)
		Expect(err).NotTo(HaveOccurred())
		told := string(status) + run(ctx, "KUBECTL", "-n", job.Namespace, "get", "events", "--field-selector=involvedObject.name="+job.Name, "-o", "yaml").out
		Expect(told).To(And(ContainSubstring(node), ContainSubstring(device)))
	})
})

var _ = Describe("claimed GPUs", Ordered, ContinueOnFailure, func() {
	It("are prepared by their driver, each for one pod, and their health is told", func(ctx SpecContext) {
		classes := run(ctx, "KUBECTL", "get", "deviceclass", "simulated-gpu")
		if classes.code != 0 {
			Skip("no class of simulated GPUs: make up DRA=2")
		}
		namespace := newNamespace(ctx)
		claim := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate",
			"metadata": map[string]any{"namespace": namespace, "name": "one"},
			"spec": map[string]any{"spec": map[string]any{"devices": map[string]any{"requests": []any{
				map[string]any{"name": "gpu", "exactly": map[string]any{"deviceClassName": "simulated-gpu"}},
			}}}},
		}}
		job := training(namespace, "claims", role("Worker", 2, "sleep 3600"))
		job.Spec.Roles[0].Template.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu", ResourceClaimTemplateName: new("one")}}
		mainOf(job, 0).Resources.Claims = []corev1.ResourceClaim{{Name: "gpu"}}
		create(ctx, claim, job)
		expect(ctx, job, v1alpha1.ConditionRunning, "True AllRunning")
		var devices []string
		for name := range pods(ctx, job) {
			devices = append(devices, deviceOf(ctx, types.NamespacedName{Namespace: namespace, Name: name}, "GPU_DEVICE_0$GPU_DEVICE_1"))
		}
		slices.Sort(devices)
		Expect(devices).To(Equal([]string{"gpu-0", "gpu-1"}))
		for name := range pods(ctx, job) {
			Eventually(healthOf(ctx, types.NamespacedName{Namespace: namespace, Name: name})).Should(ContainElement("Healthy"))
		}
	})
})

// gang is a job of three pods of one GPU each, which are placed together or not at all. It is written as users write it.
func gang(namespace, name string, seconds int) *unstructured.Unstructured {
	GinkgoHelper()
	job := training(namespace, name, role("Worker", 3, "sleep "+strconv.Itoa(seconds)))
	withGPU(job)
	text, err := json.Marshal(job)
	Expect(err).NotTo(HaveOccurred())
	u := &unstructured.Unstructured{}
	Expect(u.UnmarshalJSON([]byte(`{"apiVersion": "millrace.dev/v1alpha1", "kind": "TrainingJob", ` + string(text[1:])))).To(Succeed())
	Expect(unstructured.SetNestedField(u.Object, int64(20), "spec", "scheduling", "gang", "timeoutSeconds")).To(Succeed())
	return u
}

// placed is how many pods of a job are on a node.
func placed(ctx context.Context, job *v1alpha1.TrainingJob) int {
	n := 0
	for _, p := range pods(ctx, job) {
		if p.Spec.NodeName != "" && p.DeletionTimestamp == nil {
			n++
		}
	}
	return n
}

func servesNativeGangs(ctx context.Context) bool {
	return run(ctx, "KUBECTL", "get", "--raw", "/apis/scheduling.k8s.io/v1beta1").code == 0
}

var _ = Describe("two gangs of three on four GPUs", Label("gang"), Ordered, ContinueOnFailure, func() {
	var first, second *v1alpha1.TrainingJob

	BeforeEach(func(ctx SpecContext) {
		needGPUs(ctx)
		namespace := newNamespace(ctx)
		first, second = training(namespace, "first"), training(namespace, "second")
	})

	It("are placed one after the other by Kubernetes itself", Label("native"), func(ctx SpecContext) {
		if !servesNativeGangs(ctx) {
			Skip("Kubernetes places no gangs here: make up GATES=gang")
		}
		create(ctx, gang(first.Namespace, "first", 20), gang(second.Namespace, "second", 20))
		running := func() int { return min(placed(ctx, first), 3) + min(placed(ctx, second), 3) }
		Eventually(running).Should(Equal(3))
		one, other := first, second
		if placed(ctx, first) == 0 {
			one, other = second, first
		}
		expect(ctx, one, v1alpha1.ConditionRunning, "True AllRunning")
		for _, p := range pods(ctx, one) {
			Expect(p.Spec.SchedulingGroup).NotTo(BeNil(), p.Name)
		}
		expect(ctx, other, v1alpha1.ConditionScheduled, "False")
		Consistently(func() int { return placed(ctx, other) }).WithTimeout(5*time.Second).Should(BeZero(), "pods of a gang that does not fit")
		expect(ctx, one, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
		expect(ctx, other, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
	})

	It("both finish where no scheduler knows of gangs", func(ctx SpecContext) {
		if servesNativeGangs(ctx) {
			Skip("Kubernetes places gangs here: make up GATES=none")
		}
		create(ctx, gang(first.Namespace, "first", 5), gang(second.Namespace, "second", 5))
		for _, job := range []*v1alpha1.TrainingJob{first, second} {
			Eventually(condition(ctx, job, v1alpha1.ConditionSucceeded)).WithTimeout(4*patience).Should(HavePrefix("True TrainingSucceeded"), job.Name)
			Expect(charged(job)).To(BeZero(), job.Name)
		}
	})
})
