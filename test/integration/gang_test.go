// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// placeGang lets a job wait for Volcano, installs its kind, and lets the job's group out of the queue.
func placeGang(ctx context.Context, admin client.Client, namespace string, scheduled func() string) {
	job := digits(namespace)
	job.Spec.Scheduling = &v1alpha1.Scheduling{Gang: &v1alpha1.Gang{Scheduler: v1alpha1.GangVolcano}}
	Expect(admin.Create(ctx, job)).To(Succeed())
	Eventually(scheduled).WithTimeout(patience).Should(Equal("False GangWaiting"))
	text, err := os.ReadFile("../../controllers/trainingjob/testdata/crds/volcano.yaml")
	Expect(err).NotTo(HaveOccurred())
	definition := &unstructured.Unstructured{}
	Expect(yaml.Unmarshal(text, &definition.Object)).To(Succeed())
	Expect(admin.Create(ctx, definition)).To(Succeed())
	DeferCleanup(func(ctx context.Context) { Expect(admin.Delete(ctx, definition)).To(Succeed()) })

	group := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "scheduling.volcano.sh/v1beta1", "kind": "PodGroup"}}
	Eventually(func() error {
		return admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "digits-0"}, group)
	}).WithTimeout(2 * patience).Should(Succeed())
	Eventually(scheduled).WithTimeout(patience).Should(Equal("Unknown GangWaiting"))
	Expect(pods(ctx, admin, namespace)).To(BeEmpty())
	group.Object["status"] = map[string]any{"phase": "Inqueue"}
	Expect(admin.Update(ctx, group)).To(Succeed())
	Eventually(func() int { return len(pods(ctx, admin, namespace)) }).WithTimeout(patience).Should(Equal(3))
	for _, p := range pods(ctx, admin, namespace) {
		Expect(p.Annotations).To(HaveKeyWithValue("scheduling.k8s.io/group-name", "digits-0"))
	}
	play(ctx, admin, namespace, corev1.PodSucceeded)
	Eventually(func() bool {
		return apierrors.IsNotFound(admin.Get(ctx, client.ObjectKeyFromObject(group), group))
	}).WithTimeout(patience).Should(BeTrue())
}

// releaseGang places one pod of three, and no more.
func releaseGang(ctx context.Context, admin client.Client, namespace string, scheduled func() string) {
	job := digits(namespace)
	job.Spec.Scheduling = &v1alpha1.Scheduling{Gang: &v1alpha1.Gang{Scheduler: v1alpha1.GangGuard, TimeoutSeconds: new(int32(2))}}
	Expect(admin.Create(ctx, job)).To(Succeed())
	Eventually(func() int { return len(pods(ctx, admin, namespace)) }).WithTimeout(patience).Should(Equal(3))
	first := pods(ctx, admin, namespace)[0]
	Expect(admin.SubResource("binding").Create(ctx, &first, &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "node-1"}})).To(Succeed())
	Eventually(scheduled).WithTimeout(patience).Should(Equal("False GangReleased"))
	attempts := func() []string {
		var all []string
		for _, p := range pods(ctx, admin, namespace) {
			all = append(all, p.Labels["millrace.dev/attempt"])
		}
		return all
	}
	Eventually(attempts).WithTimeout(3 * patience).Should(Equal([]string{"1", "1", "1"}))
	Expect(admin.Get(ctx, client.ObjectKeyFromObject(job), job)).To(Succeed())
	Expect(job.Status.Gang.Releases).To(Equal(int32(1)))
	Expect(job.Status.RestartCount).To(BeZero())
}
