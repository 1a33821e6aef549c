// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// saves writes the signal that it was told to end by into the node's memory, beside nobody else's, and exits with 0. Made anew it ends
// well if that was the signal of the job.
const saves = `
F=$MILLRACE_CHECKPOINT_DIR/$NAMESPACE
if [ -e $F ]; then read SIGNAL < $F; rm $F; echo "saved by $SIGNAL"; [ $SIGNAL = USR1 ]; exit; fi
for S in USR1 TERM; do trap "echo $S > $F; exit 0" $S; done
while :; do sleep 0.2; done`

var _ = Describe("a job that names its stop signal", func() {
	It("is told by it to write a checkpoint, long before its grace period is over, and goes on from there", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		job := training(namespace, "told", role("Master", 1, saves))
		job.Spec.RunPolicy.Checkpoint = &v1alpha1.Checkpoint{Path: "/checkpoints", GracePeriodSeconds: new(int32(60)), StopSignal: "SIGUSR1"}
		job.Spec.RunPolicy.CleanPods = v1alpha1.CleanNone
		spec := &job.Spec.Roles[0].Template.Spec
		spec.TerminationGracePeriodSeconds = nil
		spec.Volumes = []corev1.Volume{{Name: "kept", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/dev/shm"}}}}
		spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "kept", MountPath: "/checkpoints"}}
		spec.Containers[0].Env = []corev1.EnvVar{{Name: "NAMESPACE", Value: namespace}}
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionRunning, "True AllRunning")
		change(ctx, job, func(s *v1alpha1.TrainingJobSpec) { s.RunPolicy.Suspend = new(true) })
		Eventually(condition(ctx, job, v1alpha1.ConditionSuspended)).WithTimeout(30 * time.Second).Should(HavePrefix("True Suspended"))
		change(ctx, job, func(s *v1alpha1.TrainingJobSpec) { s.RunPolicy.Suspend = new(false) })
		expect(ctx, job, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
		expectLog(ctx, job, "master-0", "saved by USR1")
		Expect(job.Status.RestartCount).To(BeZero())
	})
})
