// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"os"
	"os/exec"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

var _ = Describe("an installation", Serial, Ordered, Label("install"), func() {
	var namespace string
	var before map[string]life
	var written string
	BeforeAll(func(ctx SpecContext) {
		namespace = newNamespace(ctx)
		nb, job := lab(namespace, "lab"), training(namespace, "steady", role("Master", 1, "sleep 3600"), role("Worker", 1, "sleep 3600"))
		nb.Spec.Culling = nil
		create(ctx, nb, job)
		expect(ctx, job, v1alpha1.ConditionRunning, "True AllRunning")
		expect(ctx, nb, v1alpha1.ConditionActivityKnown, "True Answered") // that it is used is the last to be written
		before = livesIn(ctx, namespace)
		Expect(before).To(HaveLen(3))
		written = versions(ctx, namespace)
	})
	// unnoticed checks that a manager that has come and done some work has started no pod anew, and changed no object.
	unnoticed := func(ctx SpecContext) {
		GinkgoHelper()
		job := training(newNamespace(ctx), "work", role("Master", 1, "true"))
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionSucceeded, "True TrainingSucceeded")
		Expect(livesIn(ctx, namespace)).To(Equal(before))
		Expect(versions(ctx, namespace)).To(Equal(written))
	}

	It("is upgraded by applying it again, and no pod notices", func(ctx SpecContext) {
		old := managers(ctx)[0].UID
		// Another version: the manager's pod and its configuration change, and so does a CRD.
		install(ctx, func(text string) string {
			text = strings.ReplaceAll(text, "kubectl.kubernetes.io/default-container: manager",
				"kubectl.kubernetes.io/default-container: manager\n        example.com/version: next")
			text = strings.Replace(text, "level: info", "level: debug", 1)
			return strings.Replace(text, "controller-gen.kubebuilder.io/version:", "example.com/version: next\n    controller-gen.kubebuilder.io/version:", 1)
		})
		DeferCleanup(func(ctx SpecContext) { install(ctx, func(text string) string { return text }) })
		Eventually(func() bool {
			now := managers(ctx)
			return len(now) == 1 && now[0].UID != old
		}).Should(BeTrue())
		unnoticed(ctx)
	})

	It("is removed without users' objects, and takes them up again", func(ctx SpecContext) {
		deployed := deployment(ctx)
		image := deployed.Spec.Template.Spec.Containers[0].Image
		makeTarget(ctx, "undeploy", image)
		Expect(apierrors.IsNotFound(cluster.Get(ctx, client.ObjectKeyFromObject(deployed), &appsv1.Deployment{}))).To(BeTrue())
		Expect(livesIn(ctx, namespace)).To(Equal(before))
		makeTarget(ctx, "deploy", image)
		unnoticed(ctx)
	})
})

// versions are the objects of a namespace that a manager has to do with, and how often each was written.
func versions(ctx context.Context, namespace string) string {
	GinkgoHelper()
	got := run(ctx, "KUBECTL", "-n", namespace, "get", "trainingjobs,notebooks,statefulsets,services,persistentvolumeclaims,pods",
		"-o", `jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.resourceVersion}{"\n"}{end}`)
	Expect(got.code).To(BeZero(), got.err)
	Expect(got.out).To(And(ContainSubstring("Notebook lab "), ContainSubstring("TrainingJob steady ")))
	return got.out
}

// install applies config/default as users do, with changes to its text, and keeps the image that is deployed.
func install(ctx context.Context, change func(string) string) {
	GinkgoHelper()
	image := deployment(ctx).Spec.Template.Spec.Containers[0].Image
	manifests := run(ctx, "KUBECTL", "kustomize", "../../config/default")
	Expect(manifests.code).To(BeZero(), manifests.err)
	text := change(strings.ReplaceAll(manifests.out, "docker.io/millrace/manager:dev", image))
	apply := exec.CommandContext(ctx, os.Getenv("KUBECTL"), "apply", "--server-side", "--force-conflicts", "-f", "-")
	apply.Stdin = strings.NewReader(text)
	said, err := apply.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(said))
}

func deployment(ctx context.Context) *appsv1.Deployment {
	GinkgoHelper()
	d := &appsv1.Deployment{}
	Expect(cluster.Get(ctx, client.ObjectKey{Namespace: system, Name: manager}, d)).To(Succeed())
	return d
}

// makeTarget runs a target of the Makefile with the image that is deployed. Make's own variables of an outer make would
// change what it does.
func makeTarget(ctx context.Context, name, image string) {
	GinkgoHelper()
	cmd := exec.CommandContext(ctx, "make", "-C", "../..", name)
	cmd.Env = []string{"IMAGE=" + image}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "MAKE") && !strings.HasPrefix(v, "MFLAGS") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	said, err := cmd.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(said))
}
