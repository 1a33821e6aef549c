// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

var _ = Describe("a pod of several containers", func() {
	It("has ended when its main container has, whatever goes on beside it", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		proxy := corev1.Container{Name: "proxy", Image: image, Command: []string{"sleep", "3600"}}
		ambassador := training(namespace, "ambassador", role("Master", 1, "sleep 2"), role("Worker", 1, "sleep 2"))
		native := training(namespace, "native", role("Master", 1, "sleep 2"))
		named := training(namespace, "named", role("Master", 1, "sleep 3600"))
		for i := range ambassador.Spec.Roles {
			spec := &ambassador.Spec.Roles[i].Template.Spec
			spec.Containers = append(spec.Containers, proxy)
		}
		// The framework's name makes a container the main one, wherever it stands.
		trainer := *mainOf(named, 0).DeepCopy()
		trainer.Name, trainer.Command = "pytorch", []string{"true"}
		named.Spec.Roles[0].Template.Spec.Containers = append(named.Spec.Roles[0].Template.Spec.Containers, trainer)
		restarts := corev1.ContainerRestartPolicyAlways
		proxy.RestartPolicy = &restarts
		native.Spec.Roles[0].Template.Spec.InitContainers = []corev1.Container{proxy}
		create(ctx, ambassador, native, named)
		for _, job := range []*v1alpha1.TrainingJob{ambassador, native, named} {
			expect(ctx, job, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
			Expect(job.Status.RestartCount).To(BeZero(), job.Name)
		}
		// Those that still run are removed; the kubelet ends a native sidecar itself.
		for job, want := range map[*v1alpha1.TrainingJob]int{ambassador: 0, native: 1, named: 0} {
			Eventually(func() int { return len(pods(ctx, job)) }).Should(Equal(want), job.Name)
		}
		Eventually(phases(ctx, native)).Should(HaveKeyWithValue("master-0", corev1.PodSucceeded))
	})
})

var _ = Describe("the containers of a job", func() {
	It("are started again in place when they are killed, or with the whole job where none can join", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		const work = "sleep 300 & wait $!"
		alone := withScratch(training(namespace, "alone", role("Master", 1, "[ -e /scratch/tried ] && exit; touch /scratch/tried; "+work)), 0)
		together := training(namespace, "together", role("Worker", 2, "[ $ATTEMPT = 0 ] || exit 0; "+work))
		together.Spec.Framework, together.Spec.Roles[0].RestartPolicy = v1alpha1.JAX, v1alpha1.RestartOnFailure
		mainOf(together, 0).Env = []corev1.EnvVar{{Name: "ATTEMPT", ValueFrom: &corev1.EnvVarSource{
			FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels['" + names.Attempt + "']"},
		}}}
		create(ctx, alone, together)
		for job, pod := range map[*v1alpha1.TrainingJob]string{alone: "alone-master-0", together: "together-worker-1"} {
			expect(ctx, job, v1alpha1.ConditionRunning, "True AllRunning")
			// All but the shell that waits for them.
			Eventually(func() string {
				return run(ctx, "KUBECTL", "-n", namespace, "exec", pod, "--", "sh", "-c", "pidof sleep && kill -9 -1").out
			}).ShouldNot(BeEmpty())
		}
		before := uids(ctx, together)()
		expect(ctx, alone, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
		Expect(restartsOf(alone, "master-0")).To(BeEquivalentTo(1))
		expect(ctx, together, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
		Expect(restartsOf(together, "job")).To(BeEquivalentTo(1))
		for name, uid := range uids(ctx, together)() {
			Expect(uid).NotTo(Equal(before[name]), name)
		}
		for _, job := range []*v1alpha1.TrainingJob{alone, together} {
			Expect(job.Status.Failure.Signal).To(Equal("SIGKILL"))
		}
	})

	It("move when their node is drained, and nobody is charged", Serial, func(ctx SpecContext) {
		job := training(newNamespace(ctx), "drained", role("Master", 1, "sleep 5"), role("Worker", 2, "sleep 5"))
		job.Spec.RunPolicy.Restarts.Max = new(int32(0))
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionRunning, "True AllRunning")
		node := pods(ctx, job)["drained-master-0"].Spec.NodeName
		before := uids(ctx, job)()
		DeferCleanup(func(ctx SpecContext) {
			Expect(run(ctx, "KUBECTL", "uncordon", node).code).To(BeZero())
		})
		drain := run(ctx, "KUBECTL", "drain", node, "--pod-selector="+names.TrainingJob+"=drained")
		Expect(drain.code).To(BeZero(), drain.err)
		Eventually(uids(ctx, job)).ShouldNot(ContainElements(before["drained-master-0"], before["drained-worker-0"]))
		Expect(run(ctx, "KUBECTL", "uncordon", node).code).To(BeZero())
		expect(ctx, job, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
		Expect(charged(job)).To(BeZero())
	})
})
