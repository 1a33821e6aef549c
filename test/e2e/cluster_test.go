// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/names"
)

// image holds python3, PyTorch and a shell; the cluster has it.
const image = "docker.io/millrace/pytorch-digits:dev"

// role is a role whose pods run a shell script. They end at once when they are told to.
func role(name string, replicas int32, script string) v1alpha1.Role {
	return v1alpha1.Role{
		Name: name, Replicas: &replicas,
		Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: new(int64(1)),
			Containers: []corev1.Container{{
				Name: "main", Image: image, ImagePullPolicy: corev1.PullIfNotPresent, Command: []string{"sh", "-c", script},
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("20Mi"),
				}},
			}},
		}},
	}
}

// training is a job of the given roles.
func training(namespace, name string, roles ...v1alpha1.Role) *v1alpha1.TrainingJob {
	return &v1alpha1.TrainingJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.TrainingJobSpec{Framework: v1alpha1.PyTorch, Roles: roles},
	}
}

// mainOf is the main container of a role.
func mainOf(job *v1alpha1.TrainingJob, role int) *corev1.Container {
	return &job.Spec.Roles[role].Template.Spec.Containers[0]
}

func create(ctx context.Context, objects ...client.Object) {
	GinkgoHelper()
	for _, o := range objects {
		Expect(cluster.Create(ctx, o)).To(Succeed(), "creating %s", o.GetName())
	}
}

// condition reads a condition of an object as "status reason: message".
func condition(ctx context.Context, o engine.Owner, kind string) func() string {
	return func() string {
		if err := cluster.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
			return err.Error()
		}
		c := meta.FindStatusCondition(o.GetConditions(), kind)
		if c == nil {
			return "absent"
		}
		return string(c.Status) + " " + c.Reason + ": " + c.Message
	}
}

// expect waits until a condition of an object begins with the given status and reason.
func expect(ctx context.Context, o engine.Owner, kind, want string) {
	GinkgoHelper()
	Eventually(condition(ctx, o, kind)).Should(HavePrefix(want), "condition %s of %s", kind, o.GetName())
}

// change patches the spec of a job.
func change(ctx context.Context, job *v1alpha1.TrainingJob, with func(*v1alpha1.TrainingJobSpec)) {
	GinkgoHelper()
	before := job.DeepCopy()
	with(&job.Spec)
	Expect(cluster.Patch(ctx, job, client.MergeFrom(before))).To(Succeed())
}

// pods lists the pods of a job by name, those that are ending too.
func pods(ctx context.Context, job *v1alpha1.TrainingJob) map[string]corev1.Pod {
	GinkgoHelper()
	var list corev1.PodList
	Expect(cluster.List(ctx, &list, client.InNamespace(job.Namespace), client.MatchingLabels{names.TrainingJob: job.Name})).To(Succeed())
	found := map[string]corev1.Pod{}
	for _, p := range list.Items {
		found[p.Name] = p
	}
	return found
}

// uids are the identities of a job's pods.
func uids(ctx context.Context, job *v1alpha1.TrainingJob) func() map[string]types.UID {
	return func() map[string]types.UID {
		found := map[string]types.UID{}
		for name, p := range pods(ctx, job) {
			found[name] = p.UID
		}
		return found
	}
}

// life is which pod one is, and how often its containers were started again.
type life struct {
	uid      types.UID
	restarts int32
}

func lives(p corev1.Pod) life {
	l := life{uid: p.UID}
	for _, c := range p.Status.ContainerStatuses {
		l.restarts += c.RestartCount
	}
	return l
}

// livesIn are those of the pods of a namespace.
func livesIn(ctx context.Context, namespace string) map[string]life {
	GinkgoHelper()
	var list corev1.PodList
	Expect(cluster.List(ctx, &list, client.InNamespace(namespace))).To(Succeed())
	found := map[string]life{}
	for _, p := range list.Items {
		found[p.Name] = lives(p)
	}
	return found
}

// kill removes a pod without grace, as a node that fails does.
func kill(ctx context.Context, namespace, name string) {
	GinkgoHelper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	Expect(cluster.Delete(ctx, p, client.GracePeriodSeconds(0))).To(Succeed())
}

// said is what a program printed, and its exit code.
type said struct {
	out, err string
	code     int
}

// run runs the program that an environment variable names, to its end.
func run(ctx context.Context, program string, args ...string) said {
	GinkgoHelper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, os.Getenv(program), args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
		Expect(err).NotTo(HaveOccurred())
	}
	return said{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

func lower(policy v1alpha1.CleanPods) string { return strings.ToLower(string(policy)) }

// elastic is a PyTorch block with bounds.
func elastic(low, high int32) *v1alpha1.PyTorchSpec {
	return &v1alpha1.PyTorchSpec{Elastic: &v1alpha1.Elastic{Replicas: low, MinReplicas: &low, MaxReplicas: &high}}
}
