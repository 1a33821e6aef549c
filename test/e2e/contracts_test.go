// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// peersImage holds a program that listens where TF_CONFIG or MX_CONFIG says, and dials everybody it names.
const peersImage = "docker.io/millrace/peers:dev"

// checker is a role whose pods run that program.
func checker(name string, replicas int32, args ...string) v1alpha1.Role {
	r := role(name, replicas, "")
	main := &r.Template.Spec.Containers[0]
	main.Image, main.Command, main.Args = peersImage, nil, args
	return r
}

// checked is a job of checkers whose pods stay.
func checked(namespace, name string, framework v1alpha1.Framework, roles ...v1alpha1.Role) *v1alpha1.TrainingJob {
	job := training(namespace, name, roles...)
	job.Spec.Framework = framework
	job.Spec.RunPolicy.CleanPods = v1alpha1.CleanNone
	return job
}

// phases are the phases of a job's pods, by role and index.
func phases(ctx context.Context, job *v1alpha1.TrainingJob) func() map[string]corev1.PodPhase {
	return func() map[string]corev1.PodPhase {
		found := map[string]corev1.PodPhase{}
		for name, p := range pods(ctx, job) {
			found[strings.TrimPrefix(name, job.Name+"-")] = p.Status.Phase
		}
		return found
	}
}

var _ = Describe("the contract of a parameter server framework", func() {
	It("leads every task of TensorFlow and MXNet to every other", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		dense := checked(namespace, "dense", v1alpha1.TensorFlow,
			checker("Chief", 1), checker("PS", 1), checker("Worker", 2), checker("Evaluator", 1))
		sparse := checked(namespace, "sparse", v1alpha1.TensorFlow, checker("PS", 2), checker("Worker", 2))
		sparse.Spec.TensorFlow = &v1alpha1.TensorFlowSpec{ClusterSpec: "Sparse", SuccessPolicy: "AllWorkers"}
		mxnet := checked(namespace, "mxnet", v1alpha1.MXNet, checker("Scheduler", 1), checker("Server", 1), checker("Worker", 2))
		create(ctx, dense, sparse, mxnet)
		const ended, serving = corev1.PodSucceeded, corev1.PodRunning
		for job, want := range map[*v1alpha1.TrainingJob]map[string]corev1.PodPhase{
			dense:  {"chief-0": ended, "evaluator-0": ended, "ps-0": serving, "worker-0": ended, "worker-1": ended},
			sparse: {"ps-0": serving, "ps-1": serving, "worker-0": ended, "worker-1": ended},
			mxnet:  {"scheduler-0": ended, "server-0": serving, "worker-0": ended, "worker-1": ended},
		} {
			expect(ctx, job, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
			Eventually(phases(ctx, job)).Should(Equal(want), job.Name)
			Expect(job.Status.RestartCount).To(BeZero())
		}
		Expect(printed(ctx, dense, "evaluator-0")).To(ContainSubstring("evaluator 0 has met all of 4 peers"))
		Expect(printed(ctx, dense, "ps-0")).To(ContainSubstring("ps 0 serves until it is killed"))
		Expect(printed(ctx, sparse, "worker-1")).To(ContainSubstring("worker 1 has met all of 2 peers"))
		Expect(printed(ctx, mxnet, "server-0")).To(ContainSubstring(
			"server 0 has met scheduler 0 at mxnet-scheduler-0.mxnet." + namespace + ".svc:9091"))
	})

	It("names the peer that is not there", func(ctx SpecContext) {
		job := checked(newNamespace(ctx), "alone", v1alpha1.TensorFlow, checker("Chief", 1, "-timeout=10s"), role("Worker", 1, "sleep 300"))
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionSucceeded, "False ReplicaFailed")
		Expect(job.Status.Failure.Pod).To(Equal("alone-chief-0"))
		Expect(job.Status.Failure.Message).To(ContainSubstring("chief 0 has not met worker 0 at alone-worker-0.alone."))
	})
})
