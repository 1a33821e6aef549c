// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// system is where the manager is, and manager the name of its Deployment, its Lease and its pods' label.
const (
	system  = "millrace-system"
	manager = "millrace-manager"
)

var _ = Describe("the manager", Serial, func() {
	It("may be killed at any time: no pod is lost, made twice or restarted", func(ctx SpecContext) {
		job := training(newNamespace(ctx), "steady", role("Master", 1, "sleep 25"), role("Worker", 3, "sleep 20"))
		create(ctx, job)
		killManagers(ctx) // while the pods are being made
		expect(ctx, job, v1alpha1.ConditionRunning, "True AllRunning")
		before := uids(ctx, job)()
		Expect(before).To(HaveLen(4))
		killManagers(ctx) // while they run
		expect(ctx, job, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
		after := uids(ctx, job)()
		for name, uid := range after {
			Expect(uid).To(Equal(before[name]), name)
		}
		Expect(job.Status.RestartCount).To(BeZero())
	})

	It("hands over to its second replica", func(ctx SpecContext) {
		scale(ctx, 2)
		DeferCleanup(func(ctx SpecContext) { scale(ctx, 1) })
		leader := holder(ctx)
		kill(ctx, system, leader)
		began := time.Now()
		job := training(newNamespace(ctx), "handed", role("Master", 1, "true"))
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
		GinkgoWriter.Printf("the job was over %s after its leader was killed\n", time.Since(began))
		Expect(holder(ctx)).NotTo(Equal(leader))
	})

	It("asks nothing when nothing changes", func(ctx SpecContext) {
		if os.Getenv("AUDIT_LOG") == "" {
			Skip("AUDIT_LOG is not set: only the local cluster writes down who asks what")
		}
		job := training(newNamespace(ctx), "quiet", role("Worker", 2, "sleep 600"))
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionRunning, "True AllRunning")
		// Jobs of other specs that go away, and counts that may wait, are work: wait for a while without any.
		asked := -1
		Eventually(func() bool {
			now := len(requests())
			silent := now == asked
			asked = now
			return silent
		}).WithPolling(8 * time.Second).Should(BeTrue())
		Consistently(func() []string { return requests()[asked:] }).WithTimeout(20 * time.Second).WithPolling(time.Second).Should(BeEmpty())
	})
})

// killManagers kills every manager, without letting it say goodbye.
func killManagers(ctx context.Context) {
	GinkgoHelper()
	for _, p := range managers(ctx) {
		kill(ctx, system, p.Name)
	}
}

// managers are the managers that are not ending.
func managers(ctx context.Context) []corev1.Pod {
	GinkgoHelper()
	var list corev1.PodList
	Expect(cluster.List(ctx, &list, client.InNamespace(system), client.MatchingLabels{"app.kubernetes.io/name": manager})).To(Succeed())
	return list.Items
}

// scale sets the number of managers and waits until they are ready.
func scale(ctx context.Context, replicas int32) {
	GinkgoHelper()
	d := &appsv1.Deployment{}
	key := client.ObjectKey{Namespace: system, Name: manager}
	Expect(cluster.Get(ctx, key, d)).To(Succeed())
	before := d.DeepCopy()
	d.Spec.Replicas = &replicas
	Expect(cluster.Patch(ctx, d, client.MergeFrom(before))).To(Succeed())
	Eventually(func() int32 {
		Expect(cluster.Get(ctx, key, d)).To(Succeed())
		return d.Status.ReadyReplicas
	}).Should(Equal(replicas))
	Eventually(func() int { return len(managers(ctx)) }).Should(BeEquivalentTo(replicas))
}

// holder is the pod that holds the Lease.
func holder(ctx context.Context) string {
	GinkgoHelper()
	var name string
	Eventually(func() bool {
		lease := &coordinationv1.Lease{}
		if cluster.Get(ctx, client.ObjectKey{Namespace: system, Name: manager}, lease) != nil || lease.Spec.HolderIdentity == nil {
			return false
		}
		name, _, _ = strings.Cut(*lease.Spec.HolderIdentity, "_")
		for _, p := range managers(ctx) {
			if p.Name == name {
				return true
			}
		}
		return false
	}).Should(BeTrue(), "a manager that exists holds the Lease")
	return name
}

// requests are what the managers have asked the API server for, but for their Lease and watches.
func requests() []string {
	GinkgoHelper()
	log, err := os.Open(os.Getenv("AUDIT_LOG"))
	Expect(err).NotTo(HaveOccurred())
	defer log.Close()
	var asked []string
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var event struct {
			Verb       string `json:"verb"`
			RequestURI string `json:"requestURI"`
			ObjectRef  struct {
				Resource string `json:"resource"`
			} `json:"objectRef"`
		}
		// The last line may be half written.
		if json.Unmarshal(lines.Bytes(), &event) != nil || event.Verb == "watch" || event.ObjectRef.Resource == "leases" {
			continue
		}
		asked = append(asked, event.Verb+" "+event.RequestURI)
	}
	return asked
}
