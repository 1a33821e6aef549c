// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"os"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// itGivesDevices are the specs of Accelerators, with the manager of the specs around them.
func itGivesDevices(admin *client.WithWatch, namespace *string) {
	scheduled := func() string {
		job := &v1alpha1.TrainingJob{}
		if err := (*admin).Get(context.Background(), client.ObjectKey{Namespace: *namespace, Name: "digits"}, job); err != nil {
			return err.Error()
		}
		return meta.FindStatusCondition(job.Status.Conditions, v1alpha1.ConditionScheduled).Reason
	}

	It("gives pods the devices of an Accelerator once it is there and can have them, and counts them", func(ctx SpecContext) {
		job := digits(*namespace)
		job.Spec.Roles[1].Accelerator = &v1alpha1.AcceleratorRequest{Name: "a100", Count: 8}
		Expect((*admin).Create(ctx, job)).To(Succeed())
		Eventually(scheduled).WithTimeout(patience).Should(Equal(v1alpha1.ReasonAcceleratorNotFound))
		Expect(pods(ctx, *admin, *namespace)).To(BeEmpty())

		Expect((*admin).Create(ctx, &v1alpha1.Accelerator{
			ObjectMeta: metav1.ObjectMeta{Name: "a100"},
			Spec:       v1alpha1.AcceleratorSpec{Resource: "nvidia.com/gpu", NodeSelector: map[string]string{"gpu": "a100"}},
		})).To(Succeed())
		Eventually(scheduled).WithTimeout(patience).Should(Equal(v1alpha1.ReasonAcceleratorUnsatisfiable))

		gpuNode(ctx, *admin, "gpu-8", 8)
		Eventually(func() int { return len(pods(ctx, *admin, *namespace)) }).WithTimeout(patience).Should(Equal(3))
		worker := &corev1.Pod{}
		Expect((*admin).Get(ctx, client.ObjectKey{Namespace: *namespace, Name: "digits-worker-0"}, worker)).To(Succeed())
		asked := worker.Spec.Containers[0].Resources.Limits["nvidia.com/gpu"]
		Expect(asked.Value()).To(BeEquivalentTo(8))
		Expect(worker.Spec.NodeSelector).To(HaveKeyWithValue("gpu", "a100"))

		Expect((*admin).SubResource("binding").Create(ctx, worker, &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "gpu-8"}})).To(Succeed())
		Eventually(func() []v1alpha1.NamespaceUse {
			a := &v1alpha1.Accelerator{}
			Expect((*admin).Get(ctx, client.ObjectKey{Name: "a100"}, a)).To(Succeed())
			return a.Status.ByNamespace
		}).WithTimeout(patience).Should(Equal([]v1alpha1.NamespaceUse{{Namespace: *namespace, InUse: 8, Nodes: 1}}))

		By("leaving the pods alone when it is deleted")
		before := pods(ctx, *admin, *namespace)
		Expect((*admin).Delete(ctx, &v1alpha1.Accelerator{ObjectMeta: metav1.ObjectMeta{Name: "a100"}})).To(Succeed())
		play(ctx, *admin, *namespace, corev1.PodRunning)
		Eventually(scheduled).WithTimeout(patience).ShouldNot(Equal(v1alpha1.ReasonCreatingPods))
		for i, p := range pods(ctx, *admin, *namespace) {
			Expect(p.UID).To(Equal(before[i].UID))
		}
	})

	It("claims devices of a class by a template", func(ctx SpecContext) {
		deviceClass(ctx, *admin, "gpu.example.com")
		Expect((*admin).Create(ctx, &v1alpha1.Accelerator{
			ObjectMeta: metav1.ObjectMeta{Name: "claimed"},
			Spec: v1alpha1.AcceleratorSpec{DeviceClass: &v1alpha1.DeviceClass{
				Name: "gpu.example.com", Selectors: []string{`device.attributes["gpu.example.com"].model == "large"`},
			}},
		})).To(Succeed())
		job := digits(*namespace)
		job.Spec.Roles[1].Accelerator = &v1alpha1.AcceleratorRequest{Name: "claimed", Count: 2}
		Expect((*admin).Create(ctx, job)).To(Succeed())
		Eventually(func() int { return len(pods(ctx, *admin, *namespace)) }).WithTimeout(patience).Should(Equal(3))
		var templates resourcev1.ResourceClaimTemplateList
		Expect((*admin).List(ctx, &templates, client.InNamespace(*namespace))).To(Succeed())
		Expect(templates.Items).To(HaveLen(1))
		worker := &corev1.Pod{}
		Expect((*admin).Get(ctx, client.ObjectKey{Namespace: *namespace, Name: "digits-worker-1"}, worker)).To(Succeed())
		Expect(*worker.Spec.ResourceClaims[0].ResourceClaimTemplateName).To(Equal(templates.Items[0].Name))
		a := &v1alpha1.Accelerator{}
		Expect((*admin).Get(ctx, client.ObjectKey{Name: "claimed"}, a)).To(Succeed())
		Expect(a.Status.Shapes).To(Equal([]v1alpha1.NodeShape{{Devices: 2, Nodes: 1}}), "of three devices, one is not large")
	})
}

// gpuNode makes a node as its kubelet would.
func gpuNode(ctx context.Context, admin client.Client, name string, gpus int64) {
	GinkgoHelper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"gpu": "a100"}}}
	Expect(admin.Create(ctx, node)).To(Succeed())
	has := corev1.ResourceList{"nvidia.com/gpu": *resource.NewQuantity(gpus, resource.DecimalSI)}
	node.Status.Capacity, node.Status.Allocatable = has, has
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	Expect(admin.Status().Update(ctx, node)).To(Succeed())
}

// deviceClass makes a class and a slice of three of its devices on a node, as a driver would.
func deviceClass(ctx context.Context, admin client.Client, driver string) {
	GinkgoHelper()
	gpuNode(ctx, admin, "claimed-1", 0)
	Expect(admin.Create(ctx, &resourcev1.DeviceClass{
		ObjectMeta: metav1.ObjectMeta{Name: driver},
		Spec: resourcev1.DeviceClassSpec{Selectors: []resourcev1.DeviceSelector{
			{CEL: &resourcev1.CELDeviceSelector{Expression: `device.driver == "` + driver + `"`}},
		}},
	})).To(Succeed())
	slice := &resourcev1.ResourceSlice{
		ObjectMeta: metav1.ObjectMeta{Name: "slice"},
		Spec: resourcev1.ResourceSliceSpec{
			Driver: driver, NodeName: new("claimed-1"), Pool: resourcev1.ResourcePool{Name: "pool", Generation: 1, ResourceSliceCount: 1},
		},
	}
	for name, model := range map[string]string{"a": "large", "b": "large", "c": "small"} {
		slice.Spec.Devices = append(slice.Spec.Devices, resourcev1.Device{
			Name: name, Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{"model": {StringValue: &model}},
		})
	}
	Expect(admin.Create(ctx, slice)).To(Succeed())
}

// cordonNodes lets a node break and mend, with the permission of the component that is for it.
func cordonNodes(ctx context.Context, admin client.WithWatch) {
	GinkgoHelper()
	text, err := os.ReadFile("../../config/components/cordon/role.yaml")
	Expect(err).NotTo(HaveOccurred())
	role, _, _ := strings.Cut(string(text), "---\n")
	component := &rbacv1.ClusterRole{}
	Expect(yaml.Unmarshal([]byte(role), component)).To(Succeed())
	bind(ctx, admin, component)
	gpuNode(ctx, admin, "cordon-1", 8)
	gpuNode(ctx, admin, "cordon-2", 8)
	a := &v1alpha1.Accelerator{ObjectMeta: metav1.ObjectMeta{Name: "cordoned"}, Spec: v1alpha1.AcceleratorSpec{Resource: "nvidia.com/gpu"}}
	Expect(admin.Create(ctx, a)).To(Succeed())
	DeferCleanup(func(ctx context.Context) { Expect(admin.Delete(ctx, a)).To(Succeed()) })
	node := &corev1.Node{}
	look := func() bool {
		Expect(admin.Get(ctx, client.ObjectKey{Name: "cordon-1"}, node)).To(Succeed())
		return node.Spec.Unschedulable
	}
	become := func(status corev1.ConditionStatus) {
		look()
		before := node.DeepCopy()
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}, {Type: "GpuXidError", Status: status}}
		Expect(admin.Status().Patch(ctx, node, client.MergeFrom(before))).To(Succeed())
	}
	become(corev1.ConditionTrue)
	Eventually(look).WithTimeout(patience).Should(BeTrue())
	Expect(node.Annotations).To(HaveKeyWithValue(names.Cordoned, ContainSubstring("GpuXidError")))
	Eventually(func() []v1alpha1.CordonedNode {
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(a), a)).To(Succeed())
		return a.Status.CordonedNodes
	}).WithTimeout(patience).Should(HaveLen(1))
	become(corev1.ConditionFalse)
	Eventually(look).WithTimeout(patience).Should(BeFalse())
	Expect(node.Annotations).NotTo(HaveKey(names.Cordoned))
}
