// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"maps"
	"os"
	"path/filepath"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

var _ = Describe("mill", func() {
	It("finds the installation as it should be", func(ctx SpecContext) {
		doctor := run(ctx, "MILL", "doctor", "-o", "json")
		Expect(doctor.code).To(BeZero(), doctor.out+doctor.err)
		var found struct {
			Items []struct {
				Check, Status, Found string
				Required             bool
			}
		}
		Expect(yaml.Unmarshal([]byte(doctor.out), &found)).To(Succeed())
		checks := map[string]string{}
		for _, line := range found.Items {
			checks[line.Check] = line.Status
			Expect(line.Required && line.Status != "OK").To(BeFalse(), line.Check+": "+line.Found)
		}
		for _, required := range []string{"kubernetes", "definitions", "manager", "permissions"} {
			Expect(checks).To(HaveKeyWithValue(required, "OK"))
		}
	})

	It("plans what the manager then makes", func(ctx SpecContext) {
		job := sample(newNamespace(ctx), "trainingjob-pytorch.yaml")
		mainOf(job, 0).Command = []string{"sleep", "60"}
		mainOf(job, 1).Command = []string{"sleep", "60"}
		text, err := yaml.Marshal(job)
		Expect(err).NotTo(HaveOccurred())
		file := filepath.Join(GinkgoT().TempDir(), "job.yaml")
		Expect(os.WriteFile(file, text, 0o600)).To(Succeed())
		plan := run(ctx, "MILL", "plan", "-f", file, "-o", "json")
		Expect(plan.code).To(BeZero(), plan.err)
		var list corev1.PodList
		Expect(yaml.Unmarshal([]byte(plan.out), &list)).To(Succeed())

		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionRunning, "True AllRunning")
		made := pods(ctx, job)
		Expect(slices.Sorted(maps.Keys(made))).To(Equal([]string{"digits-master-0", "digits-worker-0", "digits-worker-1"}))
		planned := 0
		for _, p := range list.Items {
			if p.Kind != "Pod" {
				continue
			}
			planned++
			Expect(made[p.Name].Spec.Containers[0].Env).To(Equal(p.Spec.Containers[0].Env), p.Name)
			Expect(made[p.Name].Labels).To(Equal(p.Labels), p.Name)
		}
		Expect(planned).To(Equal(3))
	})

	It("follows the logs of all replicas to the end, and tells scripts how a job ended", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		good := training(namespace, "good", role("Master", 1, "echo from rank $RANK; sleep 3; echo done"), role("Worker", 2, "echo from rank $RANK; sleep 2"))
		bad := training(namespace, "bad", role("Master", 1, "exit 4"))
		bad.Spec.Roles[0].RestartPolicy = v1alpha1.RestartNever
		idle := training(namespace, "idle", role("Master", 1, "sleep 600"))
		create(ctx, good, bad, idle)
		expect(ctx, good, v1alpha1.ConditionRunning, "True AllRunning")
		log := run(ctx, "MILL", "-n", namespace, "logs", "good", "-f")
		Expect(log.code).To(BeZero(), log.err)
		for _, line := range []string{"master-0 | from rank 0\n", "worker-0 | from rank 1\n", "worker-1 | from rank 2\n", "master-0 | done\n"} {
			Expect(log.out).To(ContainSubstring(line))
		}
		for name, want := range map[string]int{"good": 0, "bad": 2, "idle": 3, "nothing": 4} {
			Expect(run(ctx, "MILL", "-n", namespace, "wait", name, "--timeout", "5s").code).To(Equal(want), name)
		}
		Expect(run(ctx, "MILL", "-n", namespace, "get", "bad").out).To(And(ContainSubstring("exit code 4"), ContainSubstring("bad-master-0")))
		list := run(ctx, "MILL", "-n", namespace, "get")
		Expect(list.out).To(And(ContainSubstring("good"), ContainSubstring("Succeeded"), ContainSubstring("Failed"), ContainSubstring("Running")))
		Expect(run(ctx, "MILL", "-n", namespace, "top", "idle").out).To(ContainSubstring("idle-master-0"))
	})
})
