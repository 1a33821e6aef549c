// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// boundQueues lists the queues of packets that somebody decides about, on this machine's kernel.
const boundQueues = "/proc/net/netfilter/nfnetlink_queue"

var _ = Describe("a Profile", Label("profile"), Ordered, func() {
	ann, bob := "e2e-ann", "e2e-bob"

	BeforeAll(func(ctx SpecContext) {
		for name, owner := range map[string]string{ann: "ann", bob: "bob"} {
			p := &v1alpha1.Profile{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ProfileSpec{Owner: v1alpha1.Subject{Name: owner}}}
			p.Spec.Members = []v1alpha1.Member{{Subject: v1alpha1.Subject{Name: "viewer-" + owner}, Role: v1alpha1.RoleViewer}}
			create(ctx, p)
			DeferCleanup(func(ctx SpecContext) { Expect(client.IgnoreNotFound(cluster.Delete(ctx, p))).To(Succeed()) })
			Eventually(func() bool {
				Expect(cluster.Get(ctx, client.ObjectKeyFromObject(p), p)).To(Succeed())
				return meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionReady)
			}).Should(BeTrue())
		}
	})

	It("gives its people their rights by roles that the cluster aggregates", func(ctx SpecContext) {
		may := func(user, namespace, verb, what string) func() string {
			return func() string {
				return strings.TrimSpace(run(ctx, "KUBECTL", "auth", "can-i", verb, what, "-n", namespace, "--as", user).out)
			}
		}
		Eventually(may("ann", ann, "create", "trainingjobs.millrace.dev")).Should(Equal("yes"))
		Eventually(may("ann", ann, "create", "rolebindings")).Should(Equal("yes"))
		Eventually(may("viewer-ann", ann, "list", "pods")).Should(Equal("yes"))
		for _, refused := range [][4]string{
			{"viewer-ann", ann, "create", "pods/exec"},
			{"viewer-ann", ann, "get", "secrets"},
			{"bob", ann, "list", "pods"},
			{"system:serviceaccount:" + bob + ":default-editor", ann, "list", "pods"},
			{"ann", ann, "update", "resourcequotas"},
		} {
			Expect(may(refused[0], refused[1], refused[2], refused[3])()).To(HavePrefix("no"), "%v", refused)
		}
	})

	It("keeps pods of other Profiles away, and lets in what must come in", func(ctx SpecContext) {
		enforced(ctx)
		server := shell(ann, "server", "exec python3 -m http.server 8000")
		server.Spec.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(8000)}}}
		gateway := newNamespace(ctx)
		clients := map[string]*corev1.Pod{}
		for _, namespace := range []string{ann, bob, gateway} {
			clients[namespace] = shell(namespace, "client", "exec sleep 3600")
			create(ctx, clients[namespace])
		}
		create(ctx, server)
		for _, p := range []*corev1.Pod{server, clients[ann], clients[bob], clients[gateway]} {
			Eventually(func() bool {
				Expect(cluster.Get(ctx, client.ObjectKeyFromObject(p), p)).To(Succeed())
				return len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].Ready
			}).Should(BeTrue(), "pod %s/%s is ready; of the server, the kubelet's probe must pass", p.Namespace, p.Name)
		}
		reach := func(from string) func() string {
			return func() string { return get(ctx, clients[from], server.Status.PodIP) }
		}
		Eventually(reach(ann)).Should(Equal("200"))
		Expect(reach(bob)()).To(Equal("refused"))
		Expect(reach(gateway)()).To(Equal("refused"))

		By("letting in a namespace that an administrator marks, as he does the ingress gateway's and Prometheus'")
		ns := &corev1.Namespace{}
		Expect(cluster.Get(ctx, client.ObjectKey{Name: gateway}, ns)).To(Succeed())
		ns.Labels["millrace.dev/reaches-profiles"] = "Allow"
		Expect(cluster.Update(ctx, ns)).To(Succeed())
		Eventually(reach(gateway)).Should(Equal("200"))

		By("looking up names from inside")
		said := run(ctx, "KUBECTL", "-n", bob, "exec", "client", "--", "python3", "-c", "import socket; socket.gethostbyname('kubernetes.default.svc.cluster.local')")
		Expect(said.code).To(BeZero(), said.err)
	})

	It("takes the namespace with it, or leaves it, as it is told", func(ctx SpecContext) {
		p := &v1alpha1.Profile{}
		Expect(cluster.Get(ctx, client.ObjectKey{Name: bob}, p)).To(Succeed())
		before := p.DeepCopy()
		p.Spec.DeletionPolicy = v1alpha1.OrphanNamespace
		Expect(cluster.Patch(ctx, p, client.MergeFrom(before))).To(Succeed())
		ns := &corev1.Namespace{}
		Eventually(func() []metav1.OwnerReference {
			Expect(cluster.Get(ctx, client.ObjectKey{Name: bob}, ns)).To(Succeed())
			return ns.OwnerReferences
		}).Should(BeEmpty())
		DeferCleanup(func(ctx SpecContext) { Expect(cluster.Delete(ctx, ns)).To(Succeed()) })
		for _, name := range []string{ann, bob} {
			gone := &v1alpha1.Profile{ObjectMeta: metav1.ObjectMeta{Name: name}}
			Expect(cluster.Delete(ctx, gone, client.PropagationPolicy(metav1.DeletePropagationForeground))).To(Succeed())
		}
		Eventually(func() bool {
			return apierrors.IsNotFound(cluster.Get(ctx, client.ObjectKey{Name: ann}, &corev1.Namespace{}))
		}).Should(BeTrue())
		Expect(cluster.Get(ctx, client.ObjectKey{Name: bob}, ns)).To(Succeed())
		Expect(ns.DeletionTimestamp).To(BeNil())
	})
})

// enforced skips where nobody enforces network policies: packets of the local cluster pass when no queue is bound.
func enforced(_ context.Context) {
	queues, err := os.ReadFile(boundQueues)
	if err != nil || len(queues) == 0 {
		Skip("no network policy is enforced here: " + boundQueues + " names no queue")
	}
}

// shell is a pod that runs a script.
func shell(namespace, name, script string) *corev1.Pod {
	template := role("", 1, script).Template
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: template.Spec}
}

// get asks a server from inside a pod, and returns the status it answers with, or refused when nothing comes back.
func get(ctx context.Context, from *corev1.Pod, address string) string {
	GinkgoHelper()
	code := fmt.Sprintf("import urllib.request as r; print(r.urlopen('http://%s:8000', timeout=%d).status)", address, int((3 * time.Second).Seconds()))
	said := run(ctx, "KUBECTL", "-n", from.Namespace, "exec", from.Name, "--", "python3", "-c", code)
	if said.code != 0 && strings.Contains(said.err, "urlopen") || strings.Contains(said.err, "timed out") {
		return "refused"
	}
	return strings.TrimSpace(said.out) + strings.TrimSpace(said.err)
}
