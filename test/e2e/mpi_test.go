// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// mpiImage holds OpenMPI, MPICH, an ssh server and a reduction for each of the two.
const mpiImage = "docker.io/millrace/mpi:dev"

const (
	openMPI = "exec mpirun.openmpi -n 3 python3 /workspace/reduce.py --processes=3"
	mpich   = "exec mpiexec.mpich -n 3 /usr/local/bin/reduce"
	reduced = "result: squares 5, pi 3.141593, by 3 processes on 3 hosts"
)

// launched is a job whose launcher runs a script, and whose three workers wait for ssh as root.
func launched(namespace, name, script string) *v1alpha1.TrainingJob {
	launcher := role("Launcher", 1, script)
	launcher.Template.Spec.Containers[0].Image = mpiImage
	job := training(namespace, name, launcher, sshd("Worker", 3))
	job.Spec.Framework, job.Spec.MPI = v1alpha1.MPI, &v1alpha1.MPISpec{}
	return job
}

// sshd is a role whose pods run the image's ssh server for root, as they do without a command, and are Ready when it listens.
func sshd(name string, replicas int32) v1alpha1.Role {
	r := role(name, replicas, "")
	main := &r.Template.Spec.Containers[0]
	main.Image, main.Command = mpiImage, nil
	main.ReadinessProbe = listens(22)
	return r
}

func listens(port int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(port)}},
		PeriodSeconds: 1,
	}
}

// withoutRoot lets the image's other user run a job.
func withoutRoot(job *v1alpha1.TrainingJob) *v1alpha1.TrainingJob {
	job.Spec.MPI.SSHAuthMountPath = "/home/mpiuser/.ssh"
	for i := range job.Spec.Roles {
		job.Spec.Roles[i].Template.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: new(int64(1000)), RunAsNonRoot: new(true)}
	}
	worker := mainOf(job, 1)
	worker.Command = []string{"/usr/sbin/sshd", "-De", "-f", "/home/mpiuser/.sshd_config"}
	worker.ReadinessProbe = listens(2222)
	return job
}

func withMPICH(job *v1alpha1.TrainingJob) *v1alpha1.TrainingJob {
	job.Spec.MPI.Implementation = "MPICH"
	return job
}

// withScratch gives the main container of a role a directory that outlives it.
func withScratch(job *v1alpha1.TrainingJob, role int) *v1alpha1.TrainingJob {
	spec := &job.Spec.Roles[role].Template.Spec
	spec.Volumes = append(spec.Volumes, corev1.Volume{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	main := mainOf(job, role)
	main.VolumeMounts = append(main.VolumeMounts, corev1.VolumeMount{Name: "scratch", MountPath: "/scratch"})
	return job
}

// chainer is a job of a Master and two groups of workers of unequal strength.
func chainer(namespace, name string) *v1alpha1.TrainingJob {
	master := role("Master", 1, "exec mpirun.openmpi -n 6 python3 /workspace/reduce.py --processes=6")
	master.Template.Spec.Containers[0].Image = mpiImage
	job := training(namespace, name, master, sshd("Large", 2), sshd("Small", 1))
	job.Spec.Framework = v1alpha1.Chainer
	job.Spec.Chainer = &v1alpha1.ChainerSpec{SlotsPerWorker: 1, Groups: []v1alpha1.ChainerGroup{{Name: "Large", SlotsPerWorker: 2}}}
	return job
}

// expectLog expects words in what a pod has printed. Finished pods stay.
func expectLog(ctx context.Context, job *v1alpha1.TrainingJob, pod, words string) {
	GinkgoHelper()
	Expect(printed(ctx, job, pod)).To(ContainSubstring(words))
}

func printed(ctx context.Context, job *v1alpha1.TrainingJob, pod string) string {
	GinkgoHelper()
	log := run(ctx, "KUBECTL", "-n", job.Namespace, "logs", job.Name+"-"+pod)
	return log.out + log.err
}

var _ = Describe("a launcher", Serial, func() {
	It("reduces over three pods by ssh: OpenMPI and MPICH, as root and not, with the launcher and without, over groups of workers", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		sharing := launched(namespace, "sharing", "exec mpirun.openmpi -n 4 python3 /workspace/reduce.py --processes=4")
		sharing.Spec.MPI.Launcher = "Worker"
		jobs := map[*v1alpha1.TrainingJob]string{
			sample(namespace, "trainingjob-mpi.yaml"):                   reduced,
			launched(namespace, "root", openMPI):                        reduced,
			withMPICH(launched(namespace, "mpich-root", mpich)):         reduced,
			withMPICH(withoutRoot(launched(namespace, "mpich", mpich))): reduced,
			sharing:                      "result: squares 14, pi 3.141593, by 4 processes on 4 hosts",
			chainer(namespace, "groups"): "result: squares 55, pi 3.141593, by 6 processes on 4 hosts",
		}
		for job := range jobs {
			create(ctx, job)
		}
		for job, want := range jobs {
			expect(ctx, job, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
			launcher := "launcher-0"
			if job.Spec.Framework == v1alpha1.Chainer {
				launcher = "master-0"
			}
			expectLog(ctx, job, launcher, want)
			// An ssh server that gets no processor for a while resets a connection: that is started again, and not charged.
			Expect(charged(job)).To(BeZero(), "%s: %+v", job.Name, job.Status.Failure)
		}
	})

	It("that fails is started again, and charged", func(ctx SpecContext) {
		const once = "[ -e /scratch/tried ] || { touch /scratch/tried; echo no luck >&2; exit 9; }\n"
		job := withScratch(launched(newNamespace(ctx), "retried", once+openMPI), 0)
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
		expectLog(ctx, job, "launcher-0", reduced)
		Expect(restartsOf(job, "launcher-0")).To(BeEquivalentTo(1))
		Expect(job.Status.RestartCount).To(BeEquivalentTo(1))
		Expect(*job.Status.Failure.ExitCode).To(BeEquivalentTo(9))
		Expect(job.Status.Failure.Message).To(ContainSubstring("no luck"))
	})

	It("survives the manager, a suspension and the loss of a worker", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		const slow = openMPI + " --rounds=30 --sleep=0.5"
		steady, paused, bereft := launched(namespace, "steady", slow), launched(namespace, "paused", slow), launched(namespace, "bereft", slow)
		create(ctx, steady, paused, bereft)
		killManagers(ctx)
		for _, job := range []*v1alpha1.TrainingJob{steady, paused, bereft} {
			Eventually(func() string { return printed(ctx, job, "launcher-0") }).Should(ContainSubstring("round 2 of"), job.Name)
		}
		before, lost := uids(ctx, steady)(), uids(ctx, bereft)()
		key := &corev1.Secret{}
		Expect(cluster.Get(ctx, client.ObjectKey{Namespace: namespace, Name: names.Keys("paused")}, key)).To(Succeed())

		kill(ctx, namespace, "bereft-worker-1")
		change(ctx, paused, func(s *v1alpha1.TrainingJobSpec) { s.RunPolicy.Suspend = new(true) })
		killManagers(ctx)

		expect(ctx, paused, v1alpha1.ConditionSuspended, "True Suspended")
		Expect(pods(ctx, paused)).To(BeEmpty())
		change(ctx, paused, func(s *v1alpha1.TrainingJobSpec) { s.RunPolicy.Suspend = new(false) })

		expect(ctx, steady, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
		Expect(uids(ctx, steady)()).To(HaveKeyWithValue("steady-launcher-0", before["steady-launcher-0"]))
		Expect(charged(steady)).To(BeZero())

		expect(ctx, bereft, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
		expectLog(ctx, bereft, "launcher-0", reduced)
		Expect(lost).To(HaveLen(4))
		Expect(restartsOf(bereft, "worker-1")).To(BeZero())

		expect(ctx, paused, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
		expectLog(ctx, paused, "launcher-0", reduced)
		now := &corev1.Secret{}
		Expect(cluster.Get(ctx, client.ObjectKeyFromObject(key), now)).To(Succeed())
		Expect(now.UID).To(Equal(key.UID))
		Expect(charged(paused)).To(BeZero())
	})

	// The quota keeps the lost worker away for as long as the kubelet takes to tell the launcher.
	It("that runs is told of hosts that go and come", func(ctx SpecContext) {
		const follow = `while [ "$seen" != 323 ]; do n=$(/etc/mpi/discover_hosts.sh | wc -l)
			case $seen in *$n) ;; *) seen=$seen$n; echo "hosts: $seen"; /etc/mpi/discover_hosts.sh;; esac; sleep 1; done`
		namespace := newNamespace(ctx)
		quota := &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "pods"},
			Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("4")}},
		}
		limit := func(pods string) {
			GinkgoHelper()
			before := quota.DeepCopy()
			quota.Spec.Hard[corev1.ResourcePods] = resource.MustParse(pods)
			Expect(cluster.Patch(ctx, quota, client.MergeFrom(before))).To(Succeed())
		}
		job := launched(namespace, "horovod", follow)
		create(ctx, quota, job)
		expect(ctx, job, v1alpha1.ConditionRunning, "True AllRunning")
		before := uids(ctx, job)()
		limit("3")
		kill(ctx, namespace, "horovod-worker-2")
		expect(ctx, job, v1alpha1.ConditionScheduled, "False QuotaExceeded")
		Eventually(func() string { return printed(ctx, job, "launcher-0") }).WithTimeout(2 * patience).Should(ContainSubstring("hosts: 32\n"))
		limit("4")
		Eventually(condition(ctx, job, v1alpha1.ConditionSucceeded)).WithTimeout(3 * patience).Should(HavePrefix("True TrainingSucceeded"))
		Expect(uids(ctx, job)()).To(HaveKeyWithValue("horovod-launcher-0", before["horovod-launcher-0"]))
		Expect(charged(job)).To(BeZero())
	})
})
