// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

var _ = Describe("a job that tells of its progress", func() {
	It("goes on while its file is touched, and fails when it is not", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		create(ctx, heartbeatRights(namespace)...)
		job := training(namespace, "hangs", role("Master", 1, "for i in 1 2 3 4 5 6 7 8; do touch /progress/beat; sleep 2; done; sleep 600"))
		job.Spec.RunPolicy.ProgressDeadlineSeconds = new(int32(10))
		watched(&job.Spec.Roles[0].Template.Spec, deployment(ctx).Spec.Template.Spec.Containers[0].Image)
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionRunning, "True AllRunning")
		Eventually(func() string { return pods(ctx, job)["hangs-master-0"].Annotations[names.Heartbeat] }).ShouldNot(BeEmpty())
		first := pods(ctx, job)["hangs-master-0"].Annotations[names.Heartbeat]
		Eventually(func() string { return pods(ctx, job)["hangs-master-0"].Annotations[names.Heartbeat] }).ShouldNot(Equal(first))
		expect(ctx, job, v1alpha1.ConditionSucceeded, "False ProgressDeadlineExceeded")
		Eventually(func() int { return len(pods(ctx, job)) }).Should(BeZero())
	})
})

// watched has the launcher tell of the file that the main container touches.
func watched(spec *corev1.PodSpec, image string) {
	field := func(path string) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}
	}
	mount := []corev1.VolumeMount{{Name: "progress", MountPath: "/progress"}}
	spec.ServiceAccountName = "heartbeat"
	spec.Volumes = []corev1.Volume{{Name: "progress", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	spec.Containers[0].VolumeMounts = mount
	spec.InitContainers = []corev1.Container{{
		Name: "heartbeat", Image: image, ImagePullPolicy: corev1.PullIfNotPresent, VolumeMounts: mount,
		Command:       []string{"/launcher", "heartbeat", "--file", "/progress/beat", "--every", "1s"},
		RestartPolicy: new(corev1.ContainerRestartPolicyAlways),
		Env: []corev1.EnvVar{
			{Name: "POD_NAME", ValueFrom: field("metadata.name")}, {Name: "POD_NAMESPACE", ValueFrom: field("metadata.namespace")},
		},
	}}
}

// heartbeatRights are a service account that may patch pods, as docs/heartbeat.md has users make it.
func heartbeatRights(namespace string) []client.Object {
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "heartbeat"}
	return []client.Object{
		&corev1.ServiceAccount{ObjectMeta: meta},
		&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"patch"}}}},
		&rbacv1.RoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "heartbeat"},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "heartbeat"}},
		},
	}
}
