// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// lasting is the elastic sample with workers that save what they have learnt, and take long enough for what happens to them.
func lasting(namespace, name string, replicas int32) *v1alpha1.TrainingJob {
	GinkgoHelper()
	job := sample(namespace, "trainingjob-pytorch-elastic.yaml")
	job.Name = name
	e := job.Spec.PyTorch.Elastic
	e.Replicas, e.MaxReplicas = replicas, new(int32(3))
	e.Rendezvous = &v1alpha1.Rendezvous{Config: []v1alpha1.Setting{{Name: "last_call_timeout", Value: "3"}}}
	mainOf(job, 0).Args = []string{"--epochs=30", "--sleep=0.5", "--timeout=30", "--checkpoint=/scratch/digits.pt"}
	return withScratch(job, 0)
}

// worlds are the numbers of processes that a worker was one of, one after the other.
func worlds(ctx context.Context, job *v1alpha1.TrainingJob, pod string) func() string {
	return func() string {
		var found []string
		for line := range strings.Lines(printed(ctx, job, pod)) {
			if words := strings.Fields(line); len(words) > 4 && words[0] == "rank" && words[4] == "ready:" {
				found = append(found, words[3])
			}
		}
		return strings.Join(found, " ")
	}
}

var _ = Describe("an elastic training", Serial, func() {
	It("goes on with those that are left when a worker is killed, and with the new one", func(ctx SpecContext) {
		job := lasting(newNamespace(ctx), "torn", 3)
		create(ctx, job)
		Eventually(func() string { return printed(ctx, job, "worker-0") + printed(ctx, job, "worker-1") }).Should(ContainSubstring("epoch=2 "))
		before := uids(ctx, job)()
		kill(ctx, job.Namespace, "torn-worker-2")
		expect(ctx, job, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
		after := uids(ctx, job)()
		Expect(after).To(HaveKeyWithValue("torn-worker-0", before["torn-worker-0"]))
		Expect(after).To(HaveKeyWithValue("torn-worker-1", before["torn-worker-1"]))
		Expect(restartsOf(job, "worker-2")).To(BeZero())
		log := run(ctx, "MILL", "logs", job.Name, "-n", job.Namespace)
		Expect(log.out).To(And(ContainSubstring("resuming after epoch"), ContainSubstring("result: test accuracy")))
	})

	It("grows and shrinks as its scale is set", func(ctx SpecContext) {
		job := lasting(newNamespace(ctx), "wave", 2)
		create(ctx, job)
		scale := func(replicas string) {
			GinkgoHelper()
			said := run(ctx, "KUBECTL", "-n", job.Namespace, "scale", "trainingjob/wave", "--replicas="+replicas)
			Expect(said.code).To(BeZero(), said.err)
		}
		Eventually(worlds(ctx, job, "worker-0")).Should(Equal("2"))
		before := uids(ctx, job)()
		scale("3")
		Eventually(worlds(ctx, job, "worker-0")).Should(Equal("2 3"))
		Expect(uids(ctx, job)()).To(HaveLen(3))
		scale("2")
		Eventually(worlds(ctx, job, "worker-0")).Should(HaveSuffix("3 2"))
		expect(ctx, job, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
		expectAccuracy(ctx, job, "2")
		Expect(uids(ctx, job)()).To(Equal(before))
		Expect(job.Status.RestartCount).To(BeZero())
	})
})
