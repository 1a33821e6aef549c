// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"os"
	"regexp"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

var result = regexp.MustCompile(`result: test accuracy (\S+) after .* on (\d+) processes`)

// sample is a job of config/samples.
func sample(namespace, file string) *v1alpha1.TrainingJob {
	GinkgoHelper()
	text, err := os.ReadFile("../../config/samples/" + file)
	Expect(err).NotTo(HaveOccurred())
	job := &v1alpha1.TrainingJob{}
	Expect(yaml.UnmarshalStrict(text, job)).To(Succeed())
	job.Namespace = namespace
	return job
}

// expectAccuracy reads the result that rank 0 wrote.
func expectAccuracy(ctx context.Context, job *v1alpha1.TrainingJob, processes string) {
	GinkgoHelper()
	log := run(ctx, "MILL", "logs", job.Name, "-n", job.Namespace)
	Expect(log.code).To(BeZero(), log.err)
	found := result.FindStringSubmatch(log.out)
	Expect(found).To(HaveLen(3), log.out)
	Expect(found[2]).To(Equal(processes))
	accuracy, err := strconv.ParseFloat(found[1], 64)
	Expect(err).NotTo(HaveOccurred())
	Expect(accuracy).To(BeNumerically(">=", 0.95))
}

var _ = Describe("a training", Serial, func() {
	It("learns the digits over a Master and two Workers", func(ctx SpecContext) {
		job := sample(newNamespace(ctx), "trainingjob-pytorch.yaml")
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
		expectAccuracy(ctx, job, "3")
		Expect(job.Status.StartTime).NotTo(BeNil())
		Expect(job.Status.RunningTime).NotTo(BeNil())
		Expect(job.Status.CompletionTime).NotTo(BeNil())
		Expect(job.Status.RestartCount).To(BeZero())
		Expect(job.Status.Failure).To(BeNil())
	})

	It("learns them when torchrun starts it, in an elastic job", func(ctx SpecContext) {
		job := sample(newNamespace(ctx), "trainingjob-pytorch-elastic.yaml")
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
		expectAccuracy(ctx, job, "2")
	})

	It("goes on after a Worker has crashed once, and says so", func(ctx SpecContext) {
		job := sample(newNamespace(ctx), "trainingjob-pytorch.yaml")
		for i := range job.Spec.Roles {
			spec := &job.Spec.Roles[i].Template.Spec
			spec.Volumes = []corev1.Volume{{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
			main := mainOf(job, i)
			main.VolumeMounts = []corev1.VolumeMount{{Name: "scratch", MountPath: "/scratch"}}
			main.Args = []string{"--epochs=12", "--timeout=60", "--crash-at-epoch=2", "--crash-rank=1", "--exit-code=7", "--crash-marker=/scratch/crashed"}
		}
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
		expectAccuracy(ctx, job, "3")
		// The others fail as well, as they lose their peer; the cause is the one that failed first.
		Expect(job.Status.RestartCount).To(BeNumerically(">=", 1))
		Expect(restartsOf(job, "worker-0")).To(BeNumerically(">=", 1))
		Expect(job.Status.Failure.Pod).To(Equal("digits-worker-0"))
		Expect(*job.Status.Failure.ExitCode).To(BeEquivalentTo(7))
		Expect(job.Status.Failure.Message).To(ContainSubstring("crashing on request at epoch 2"))
	})

	It("goes on after the Master and a Worker were killed", func(ctx SpecContext) {
		job := sample(newNamespace(ctx), "trainingjob-pytorch.yaml")
		for i := range job.Spec.Roles {
			mainOf(job, i).Args = []string{"--epochs=10", "--sleep=0.5", "--timeout=60"}
		}
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionRunning, "True AllRunning")
		before := uids(ctx, job)()
		kill(ctx, job.Namespace, "digits-master-0")
		kill(ctx, job.Namespace, "digits-worker-1")
		expect(ctx, job, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
		expectAccuracy(ctx, job, "3")
		Expect(before).To(HaveLen(3))
		Expect(uids(ctx, job)()["digits-master-0"]).NotTo(Equal(before["digits-master-0"]))
	})

	It("finds the contract's environment and the other pods' names in its pods", func(ctx SpecContext) {
		const script = `until getent hosts $MASTER_ADDR; do sleep 0.2; done; env | grep -E '^(MASTER_|PET_(MASTER|N|RDZV|MAX)|RANK|WORLD)' | sort`
		job := training(newNamespace(ctx), "env", role("Master", 1, "sleep 3;"+script), role("Worker", 2, script))
		job.Spec.RunPolicy.CleanPods = v1alpha1.CleanNone
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
		var log said
		Eventually(func() string { // the Master's end is the job's, and a Worker may still be looking for it
			log = run(ctx, "KUBECTL", "-n", job.Namespace, "logs", "env-worker-1")
			return log.out
		}).Should(ContainSubstring("WORLD_SIZE="))
		host := "env-master-0.env." + job.Namespace + ".svc"
		_, env, _ := strings.Cut(log.out, "\n")
		Expect(log.out).To(ContainSubstring(pods(ctx, job)["env-master-0"].Status.PodIP + " "))
		Expect(strings.Fields(env)).To(Equal([]string{
			"MASTER_ADDR=" + host, "MASTER_PORT=23456",
			"PET_MASTER_ADDR=" + host, "PET_MASTER_PORT=23456", "PET_NNODES=3", "PET_NODE_RANK=2", "PET_NPROC_PER_NODE=auto",
			"RANK=2", "WORLD_SIZE=3",
		}))
	})
})

// charged is how often anything of a job was restarted and charged.
func charged(job *v1alpha1.TrainingJob) int32 {
	total := int32(0)
	for _, r := range job.Status.Restarts {
		total += restartsOf(job, r.Unit)
	}
	return total
}

// restartsOf is how often a unit was restarted and charged.
func restartsOf(job *v1alpha1.TrainingJob, unit string) int32 {
	for _, r := range job.Status.Restarts {
		if r.Unit == unit {
			return r.Count + r.InPlace - r.Forgiven
		}
	}
	return 0
}
