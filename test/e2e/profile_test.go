// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"crypto/x509/pkix"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// boundQueues lists the queues of packets that somebody decides about, on this machine's kernel.
const boundQueues = "/proc/net/netfilter/nfnetlink_queue"

// notebook is what people of a Profile create.
const notebook = `
apiVersion: millrace.dev/v1alpha1
kind: Notebook
metadata: {name: lab}
spec: {image: "` + notebookImage + `", memory: 512Mi}
`

var _ = Describe("a Profile", Label("profile"), Ordered, func() {
	ann, bob := "e2e-ann", "e2e-bob"
	// people are kubeconfigs by the name in their client certificate.
	people := map[string]string{}
	as := func(ctx SpecContext, who string, args ...string) said {
		return run(ctx, "KUBECTL", append([]string{"--kubeconfig", people[who]}, args...)...)
	}
	labs := map[string]*v1alpha1.Notebook{ann: {}, bob: {}}

	BeforeAll(func(ctx SpecContext) {
		for _, name := range []string{"ann", "bob", "viewer-ann", "eve"} {
			people[name] = certified(ctx, name)
		}
		for name, owner := range map[string]string{ann: "ann", bob: "bob"} {
			p := &v1alpha1.Profile{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ProfileSpec{Owner: v1alpha1.Subject{Name: owner}}}
			p.Spec.Members = []v1alpha1.Member{{Subject: v1alpha1.Subject{Name: "viewer-" + owner}, Role: v1alpha1.RoleViewer}}
			create(ctx, p)
			DeferCleanup(func(ctx SpecContext) {
				if CurrentSpecReport().Failed() {
					show(ctx, name)
				}
				Expect(client.IgnoreNotFound(cluster.Delete(ctx, p))).To(Succeed())
			})
			expect(ctx, p, v1alpha1.ConditionReady, "True")
		}
	})

	It("lets its people work in it by their certificates, and nobody else", func(ctx SpecContext) {
		manifest := filepath.Join(GinkgoT().TempDir(), "lab.yaml")
		Expect(os.WriteFile(manifest, []byte(notebook), 0o600)).To(Succeed())
		for namespace, owner := range map[string]string{ann: "ann", bob: "bob"} {
			// The cluster aggregates roles, and its authorizer learns of them, in its own time.
			Eventually(func() string { return as(ctx, owner, "-n", namespace, "create", "-f", manifest).err }).Should(BeEmpty())
		}
		for namespace, nb := range labs {
			nb.Name, nb.Namespace = "lab", namespace
			expect(ctx, nb, v1alpha1.ConditionReady, "True Serving")
		}
		for who, refused := range map[string][][]string{
			"bob":        {{"get", "notebooks"}, {"create", "-f", manifest}, {"exec", "lab-0", "--", "true"}, {"port-forward", "lab-0", ":8888"}, {"get", "secrets"}},
			"viewer-ann": {{"create", "-f", manifest}, {"exec", "lab-0", "--", "true"}, {"port-forward", "lab-0", ":8888"}, {"get", "secrets"}},
			"eve":        {{"get", "pods"}},
			"ann":        {{"create", "quota", "more"}},
		} {
			for _, deed := range refused {
				said := as(ctx, who, append([]string{"-n", ann}, deed...)...)
				Expect(said.code).NotTo(BeZero(), "%s: %v", who, deed)
				Expect(said.err).To(ContainSubstring(` is forbidden: User "`+who+`"`), "%s: %v", who, deed)
			}
		}
		Expect(as(ctx, "viewer-ann", "-n", ann, "get", "pods,notebooks", "-o", "name").out).To(ContainSubstring("pod/lab-0\n"))

		By("giving a cell the rights of default-editor")
		const both = `import subprocess
for namespace in "%s", "%s":
    ran = subprocess.run(["kubectl", "get", "pods", "-o", "name", "-n", namespace], capture_output=True, text=True)
    print(ran.stdout + ran.stderr)`
		asked := inCell(ctx, labs[ann], fmt.Sprintf(both, ann, bob), "--kubeconfig", people["ann"])
		Expect(asked).To(And(HavePrefix("pod/lab-0\n"), ContainSubstring(`User "system:serviceaccount:e2e-ann:default-editor" cannot list resource "pods"`)))
	}, SpecTimeout(4*time.Minute))

	It("keeps pods of other Profiles away from its notebooks, and lets in what must come in", func(ctx SpecContext) {
		enforced(ctx)
		visitor := shell(newNamespace(ctx), "client", "exec sleep 3600")
		create(ctx, visitor)
		Eventually(func() bool {
			Expect(cluster.Get(ctx, client.ObjectKeyFromObject(visitor), visitor)).To(Succeed())
			return len(visitor.Status.ContainerStatuses) > 0 && visitor.Status.ContainerStatuses[0].Ready
		}).Should(BeTrue())
		server := podOf(ctx, labs[ann])
		from := map[string]*corev1.Pod{"ann": server, "bob": podOf(ctx, labs[bob]), "visitor": visitor}
		atPod := fmt.Sprintf("http://%s:8888/notebook/%s/lab/", server.Status.PodIP, ann)
		for _, c := range []struct{ from, to, want string }{
			{"ann", address(labs[ann]), "200"},
			{"ann", "https://millrace-server.millrace-system.svc:9443/", "404"}, // where metrics are pushed to
			{"bob", address(labs[ann]), "refused"},
			{"bob", atPod, "refused"},
			{"visitor", atPod, "refused"},
		} {
			Eventually(func() string { return get(ctx, from[c.from], c.to) }).Should(Equal(c.want), "%s to %s", c.from, c.to)
		}

		By("letting in a namespace that an administrator marks, as he does the ingress gateway's and Prometheus'")
		ns := &corev1.Namespace{}
		Expect(cluster.Get(ctx, client.ObjectKey{Name: visitor.Namespace}, ns)).To(Succeed())
		ns.Labels["millrace.dev/reaches-profiles"] = "Allow"
		Expect(cluster.Update(ctx, ns)).To(Succeed())
		Eventually(func() string { return get(ctx, visitor, atPod) }).Should(Equal("200"))

		By("letting in the manager, who asks when the notebook was used")
		expect(ctx, labs[ann], v1alpha1.ConditionActivityKnown, "True Answered")
	}, SpecTimeout(4*time.Minute))

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

// certified makes a kubeconfig with a client certificate for a user, signed by the cluster for an hour.
func certified(ctx SpecContext, user string) string {
	GinkgoHelper()
	key, err := keyutil.MakeEllipticPrivateKeyPEM()
	Expect(err).NotTo(HaveOccurred())
	private, err := keyutil.ParsePrivateKeyPEM(key)
	Expect(err).NotTo(HaveOccurred())
	request, err := cert.MakeCSR(private, &pkix.Name{CommonName: user}, nil, nil)
	Expect(err).NotTo(HaveOccurred())
	csr := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}, Spec: certificatesv1.CertificateSigningRequestSpec{
		Request: request, SignerName: certificatesv1.KubeAPIServerClientSignerName, ExpirationSeconds: new(int32(3600)),
		Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
	}}
	create(ctx, csr)
	DeferCleanup(func(ctx SpecContext) { Expect(cluster.Delete(ctx, csr)).To(Succeed()) })
	Expect(run(ctx, "KUBECTL", "certificate", "approve", csr.Name).code).To(BeZero())
	Eventually(func() []byte {
		Expect(cluster.Get(ctx, client.ObjectKeyFromObject(csr), csr)).To(Succeed())
		return csr.Status.Certificate
	}).ShouldNot(BeEmpty())
	config, err := clientcmd.LoadFromFile(os.Getenv("KUBECONFIG"))
	Expect(err).NotTo(HaveOccurred())
	for name := range config.AuthInfos {
		config.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: csr.Status.Certificate, ClientKeyData: key}
	}
	file := filepath.Join(GinkgoT().TempDir(), user)
	Expect(clientcmd.WriteToFile(*config, file)).To(Succeed())
	return file
}

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

// get asks a server from inside a pod, and returns the status it answers with, or refused when nothing comes back in three seconds.
func get(ctx context.Context, from *corev1.Pod, address string) string {
	GinkgoHelper()
	const ask = `import ssl, sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=3, context=ssl._create_unverified_context()).status)
except urllib.error.HTTPError as e:
    print(e.code)
except (TimeoutError, urllib.error.URLError) as e:
    print("refused" if "timed out" in str(e) else e)`
	said := run(ctx, "KUBECTL", "-n", from.Namespace, "exec", from.Name, "--", "python3", "-c", ask, address)
	return strings.TrimSpace(said.out) + strings.TrimSpace(said.err)
}
