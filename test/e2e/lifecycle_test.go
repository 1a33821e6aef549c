// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

var _ = Describe("the life of a job", func() {
	It("pauses with its pods gone and its Service kept, and goes on", func(ctx SpecContext) {
		job := training(newNamespace(ctx), "paused", role("Master", 1, "sleep 4"), role("Worker", 1, "sleep 4"))
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionRunning, "True AllRunning")
		first := uids(ctx, job)()
		change(ctx, job, func(s *v1alpha1.TrainingJobSpec) { s.RunPolicy.Suspend = new(true) })
		expect(ctx, job, v1alpha1.ConditionSuspended, "True Suspended")
		Expect(pods(ctx, job)).To(BeEmpty())
		Expect(cluster.Get(ctx, client.ObjectKeyFromObject(job), &corev1.Service{})).To(Succeed())
		change(ctx, job, func(s *v1alpha1.TrainingJobSpec) { s.RunPolicy.Suspend = new(false) })
		expect(ctx, job, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
		Expect(uids(ctx, job)()["paused-master-0"]).NotTo(Equal(first["paused-master-0"]))
		Expect(job.Status.RestartCount).To(BeZero())
	})

	It("leaves the pods its policy says", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		left := map[v1alpha1.CleanPods]int{v1alpha1.CleanAll: 0, v1alpha1.CleanRunning: 1, v1alpha1.CleanNone: 2}
		jobs := map[v1alpha1.CleanPods]*v1alpha1.TrainingJob{}
		for policy := range left {
			job := training(namespace, "clean-"+lower(policy), role("Master", 1, "true"), role("Worker", 1, "sleep 300"))
			job.Spec.RunPolicy.CleanPods = policy
			create(ctx, job)
			jobs[policy] = job
		}
		for policy, want := range left {
			expect(ctx, jobs[policy], v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
			Eventually(func() int { return len(pods(ctx, jobs[policy])) }).Should(Equal(want), string(policy))
		}
	})

	It("ends at its deadline", func(ctx SpecContext) {
		job := training(newNamespace(ctx), "late", role("Master", 1, "sleep 300"))
		job.Spec.RunPolicy.ActiveDeadlineSeconds = new(int32(3))
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionSucceeded, "False DeadlineExceeded")
		Eventually(func() int { return len(pods(ctx, job)) }).Should(BeZero())
	})

	It("goes with all it owns when its time is over", func(ctx SpecContext) {
		job := training(newNamespace(ctx), "brief", role("Master", 1, "true"))
		job.Spec.RunPolicy.TTLSecondsAfterFinished = new(int32(2))
		create(ctx, job)
		Eventually(func() bool {
			return apierrors.IsNotFound(cluster.Get(ctx, client.ObjectKeyFromObject(job), job))
		}).Should(BeTrue())
		Eventually(func() int { return len(pods(ctx, job)) }).Should(BeZero())
		Eventually(func() bool {
			return apierrors.IsNotFound(cluster.Get(ctx, client.ObjectKeyFromObject(job), &corev1.Service{}))
		}).Should(BeTrue())
	})

	It("leaves a user's Service of its name alone, and goes on when the name is free", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		mine := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "shop"},
			Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "shop"}, Ports: []corev1.ServicePort{{Port: 80}}},
		}
		create(ctx, mine)
		job := training(namespace, "shop", role("Master", 1, "true"))
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionAccepted, "False NameTaken")
		now := &corev1.Service{}
		Expect(cluster.Get(ctx, client.ObjectKeyFromObject(mine), now)).To(Succeed())
		Expect(now.ResourceVersion).To(Equal(mine.ResourceVersion))
		Expect(pods(ctx, job)).To(BeEmpty())
		Expect(cluster.Delete(ctx, mine)).To(Succeed())
		expect(ctx, job, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
	})

	It("does not begin when the API server can tell that it is wrong", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		wrong := map[string]func(*v1alpha1.TrainingJob){
			"spec.roles":              func(j *v1alpha1.TrainingJob) { j.Spec.Roles[0].Name = "Chief" },
			"without dots":            func(j *v1alpha1.TrainingJob) { j.Name = "dig.its" },
			"replicas":                func(j *v1alpha1.TrainingJob) { j.Spec.Roles[0].Replicas = new(int32(0)) },
			"containers":              func(j *v1alpha1.TrainingJob) { j.Spec.Roles[0].Template.Spec.Containers = nil },
			"activeDeadlineSeconds":   func(j *v1alpha1.TrainingJob) { j.Spec.RunPolicy.ActiveDeadlineSeconds = new(int32(-1)) },
			"spec.mpi":                func(j *v1alpha1.TrainingJob) { j.Spec.MPI = &v1alpha1.MPISpec{} },
			"spec.pytorch.elastic":    func(j *v1alpha1.TrainingJob) { j.Spec.PyTorch = elastic(3, 2) },
			"ttlSecondsAfterFinished": func(j *v1alpha1.TrainingJob) { j.Spec.RunPolicy.TTLSecondsAfterFinished = new(int32(-1)) },
		}
		for field, spoil := range wrong {
			job := training(namespace, "wrong", role("Worker", 1, "true"))
			spoil(job)
			Expect(cluster.Create(ctx, job)).To(MatchError(ContainSubstring(field)))
		}
	})
})
