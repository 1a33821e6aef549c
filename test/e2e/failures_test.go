// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

var _ = Describe("a job that fails", func() {
	It("says which container ended how, and with which last words", func(ctx SpecContext) {
		job := training(newNamespace(ctx), "once", role("Worker", 2, `[ $HOSTNAME = once-worker-0 ] && sleep 60; echo "ValueError: bad batch" >&2; exit 3`))
		job.Spec.Roles[0].RestartPolicy = v1alpha1.RestartNever
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionSucceeded, "False ReplicaFailed")
		Expect(condition(ctx, job, v1alpha1.ConditionSucceeded)()).To(And(
			ContainSubstring("once-worker-1"), ContainSubstring("exit code 3"), ContainSubstring("ValueError: bad batch")))
		Expect(job.Status.Failure.Pod).To(Equal("once-worker-1"))
		Expect(job.Status.Failure.Container).To(Equal("main"))
		Expect(*job.Status.Failure.ExitCode).To(BeEquivalentTo(3))
		expect(ctx, job, v1alpha1.ConditionStalled, "True")
	})

	It("fails when it crashes more often than its budget allows", func(ctx SpecContext) {
		job := training(newNamespace(ctx), "loop", role("Master", 1, "python3 -c 'import os; os.kill(os.getpid(), 11)'; exit $?"))
		job.Spec.RunPolicy.Restarts.Max = new(int32(1))
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionSucceeded, "False RestartsExceeded")
		Expect(job.Status.Failure.Signal).To(Equal("SIGSEGV"))
		Expect(condition(ctx, job, v1alpha1.ConditionSucceeded)()).To(ContainSubstring("spec.runPolicy.restarts.max is 1"))
	})

	It("restarts for the exit codes that may pass, and not for others", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		passing := training(namespace, "passing", role("Master", 1, "exit 137"))
		fatal := training(namespace, "fatal", role("Master", 1, "exit 2"))
		for _, job := range []*v1alpha1.TrainingJob{passing, fatal} {
			job.Spec.Roles[0].RestartPolicy = v1alpha1.RestartExitCode
			job.Spec.RunPolicy.Restarts.Max = new(int32(1))
		}
		create(ctx, passing, fatal)
		expect(ctx, fatal, v1alpha1.ConditionSucceeded, "False ReplicaFailed")
		Expect(restartsOf(fatal, "master-0")).To(BeZero())
		expect(ctx, passing, v1alpha1.ConditionSucceeded, "False RestartsExceeded")
		Expect(restartsOf(passing, "master-0")).To(BeEquivalentTo(1))
	})

	It("replaces a pod that somebody deletes, and charges nobody", func(ctx SpecContext) {
		job := training(newNamespace(ctx), "deleted", role("Worker", 2, "sleep 8"))
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionRunning, "True AllRunning")
		before := uids(ctx, job)()
		kill(ctx, job.Namespace, "deleted-worker-0")
		expect(ctx, job, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
		Expect(charged(job)).To(BeZero())
		Expect(job.Status.Restarts).To(ContainElement(And(HaveField("Unit", "worker-0"), HaveField("Lost", BeEquivalentTo(1)))))
		Expect(pods(ctx, job)["deleted-worker-0"].Labels).To(HaveKeyWithValue(names.Attempt, "1"))
		Expect(uids(ctx, job)()["deleted-worker-1"]).To(Equal(before["deleted-worker-1"]))
	})
})

var _ = Describe("a job that cannot start", Ordered, func() {
	var namespace string
	jobs := map[string]*v1alpha1.TrainingJob{}

	// All at once: each waits for the kubelet, and the kubelet takes its time.
	BeforeAll(func(ctx SpecContext) {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}
		create(ctx, ns)
		namespace = ns.Name
		DeferCleanup(func(ctx SpecContext) { Expect(cluster.Delete(ctx, ns)).To(Succeed()) })
		for _, name := range []string{"image", "env", "volume", "node"} {
			jobs[name] = training(namespace, name, role("Master", 1, "true"))
		}
		mainOf(jobs["image"], 0).Image = "docker.io/millrace/no-such-image:1"
		mainOf(jobs["env"], 0).EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "token"},
		}}}
		mainOf(jobs["volume"], 0).VolumeMounts = []corev1.VolumeMount{{Name: "settings", MountPath: "/settings"}}
		jobs["volume"].Spec.Roles[0].Template.Spec.Volumes = []corev1.Volume{{Name: "settings", VolumeSource: corev1.VolumeSource{
			ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}},
		}}}
		mainOf(jobs["node"], 0).Resources.Requests[corev1.ResourceCPU] = resource.MustParse("1000")
		for _, job := range jobs {
			create(ctx, job)
		}
	})
	AfterEach(func(ctx SpecContext) {
		if CurrentSpecReport().Failed() {
			show(ctx, namespace)
		}
	})

	It("names the image that is not there", func(ctx SpecContext) {
		expect(ctx, jobs["image"], v1alpha1.ConditionRunning, "False PodCannotStart")
		Expect(condition(ctx, jobs["image"], v1alpha1.ConditionRunning)()).To(ContainSubstring("no-such-image:1"))
	})

	It("names what the scheduler lacks", func(ctx SpecContext) {
		expect(ctx, jobs["node"], v1alpha1.ConditionScheduled, "False Unschedulable")
		Expect(condition(ctx, jobs["node"], v1alpha1.ConditionScheduled)()).To(ContainSubstring("Insufficient cpu"))
	})

	It("names the Secret of an environment, and starts when it is there", func(ctx SpecContext) {
		expect(ctx, jobs["env"], v1alpha1.ConditionRunning, "False PodCannotStart")
		Expect(condition(ctx, jobs["env"], v1alpha1.ConditionRunning)()).To(ContainSubstring(`secret "token" not found`))
		create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "token"}})
		expect(ctx, jobs["env"], v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
	})

	It("names the ConfigMap of a volume, and starts when it is there", func(ctx SpecContext) {
		expect(ctx, jobs["volume"], v1alpha1.ConditionRunning, "False PodCannotStart")
		Expect(condition(ctx, jobs["volume"], v1alpha1.ConditionRunning)()).To(ContainSubstring(`configmap "settings" not found`))
		create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "settings"}})
		Eventually(condition(ctx, jobs["volume"], v1alpha1.ConditionSucceeded)).WithTimeout(3 * patience).Should(HavePrefix("True TrainingSucceeded"))
	})
})

var _ = Describe("a quota", func() {
	It("that is full is named, and the job goes on when there is room", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		quota := &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "few-pods"},
			Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("1")}},
		}
		create(ctx, quota)
		Eventually(func() int {
			Expect(cluster.Get(ctx, client.ObjectKeyFromObject(quota), quota)).To(Succeed())
			return len(quota.Status.Hard)
		}).Should(Equal(1))
		job := training(namespace, "many", role("Worker", 2, "true"))
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionScheduled, "False QuotaExceeded")
		Expect(condition(ctx, job, v1alpha1.ConditionScheduled)()).To(ContainSubstring("few-pods"))
		before := quota.DeepCopy()
		quota.Spec.Hard[corev1.ResourcePods] = resource.MustParse("5")
		Expect(cluster.Patch(ctx, quota, client.MergeFrom(before))).To(Succeed())
		expect(ctx, job, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
	})
})
