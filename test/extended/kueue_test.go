// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package extended

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// system is Kueue's own namespace and what its manager looks for there. Its webhooks are left out: they only validate, and an API
// server outside of a cluster finds no Service.
const system = `
apiVersion: v1
kind: Namespace
metadata: {name: kueue-system}
---
apiVersion: v1
kind: Secret
metadata: {name: kueue-webhook-server-cert, namespace: kueue-system}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: kueue-validating-webhook-configuration}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: kueue-mutating-webhook-configuration}
`

const kueueConfig = `
apiVersion: config.kueue.x-k8s.io/v1beta2
kind: Configuration
namespace: kueue-system
health: {healthProbeBindAddress: "127.0.0.1:0"}
metrics: {bindAddress: "0"}
webhook: {host: 127.0.0.1, port: %d, certDir: %s}
leaderElection: {leaderElect: false}
featureGates: {VisibilityOnDemand: false}
integrations: {frameworks: [batch/job], externalFrameworks: [TrainingJob.v1alpha1.millrace.dev]}
multiKueue: {gcInterval: 1s, externalFrameworks: [{name: TrainingJob.v1alpha1.millrace.dev}]}
`

// needKueue skips specs where there is no Kueue to run.
func needKueue() {
	GinkgoHelper()
	for _, name := range []string{"KUEUE", "KUEUE_CRDS"} {
		if os.Getenv(name) == "" {
			Skip(name + " is not set: run make e2e-extended")
		}
	}
}

// startKueue installs the real Kueue's kinds and runs its manager until the specs are over.
func (c *cluster) startKueue(name string) {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	c.installKueue(filepath.Join(dir, "crds"))
	c.apply(system)
	port, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	config := fmt.Sprintf(kueueConfig, port.Addr().(*net.TCPAddr).Port, filepath.Join(dir, "certs"))
	Expect(port.Close()).To(Succeed())
	write(filepath.Join(dir, "config.yaml"), []byte(config))
	write(filepath.Join(dir, "kubeconfig"), c.Kubeconfig(GinkgoTB(), "kueue", "system:masters"))
	cmd := exec.Command(os.Getenv("KUEUE"), "--config", filepath.Join(dir, "config.yaml"), "--zap-log-level=2")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(dir, "kubeconfig"))
	log, err := os.Create(filepath.Join(os.TempDir(), "millrace-e2e-extended-"+name+".log"))
	Expect(err).NotTo(HaveOccurred())
	cmd.Stdout, cmd.Stderr = log, log
	Expect(cmd.Start()).To(Succeed())
	DeferCleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		Expect(log.Close()).To(Succeed())
	})
	c.mountCertificate(filepath.Join(dir, "certs"))
}

// installKueue gives the kinds the conversion webhook that Kueue's manager wants to write its certificate to. Nothing is converted:
// everything is stored in the version that is asked for.
func (c *cluster) installKueue(dir string) {
	GinkgoHelper()
	files, err := filepath.Glob(filepath.Join(os.Getenv("KUEUE_CRDS"), "*.yaml"))
	Expect(err).NotTo(HaveOccurred())
	Expect(files).NotTo(BeEmpty(), "no CRDs in KUEUE_CRDS")
	for _, file := range files {
		text, err := os.ReadFile(file)
		Expect(err).NotTo(HaveOccurred())
		definition := map[string]any{}
		Expect(yaml.Unmarshal(text, &definition)).To(Succeed())
		service := map[string]any{"namespace": "kueue-system", "name": "kueue-webhook-service", "path": "/convert"}
		Expect(unstructured.SetNestedField(definition, map[string]any{
			"strategy": "Webhook",
			"webhook":  map[string]any{"clientConfig": map[string]any{"service": service}, "conversionReviewVersions": []any{"v1"}},
		}, "spec", "conversion")).To(Succeed())
		text, err = yaml.Marshal(definition)
		Expect(err).NotTo(HaveOccurred())
		write(filepath.Join(dir, filepath.Base(file)), text)
	}
	c.InstallCRDs(GinkgoTB(), dir)
}

// mountCertificate does what a kubelet does with the Secret that Kueue writes its certificate to.
func (c *cluster) mountCertificate(dir string) {
	GinkgoHelper()
	secret := &corev1.Secret{}
	Eventually(func() map[string][]byte {
		_ = c.admin.Get(context.Background(), client.ObjectKey{Namespace: "kueue-system", Name: "kueue-webhook-server-cert"}, secret)
		return secret.Data
	}).Should(HaveKey("tls.key"))
	for name, data := range secret.Data {
		write(filepath.Join(dir, name), data)
	}
}

func write(path string, data []byte) {
	GinkgoHelper()
	Expect(os.MkdirAll(filepath.Dir(path), 0o755)).To(Succeed())
	Expect(os.WriteFile(path, data, 0o600)).To(Succeed())
}

// apply makes objects of YAML documents that are not there yet.
func (c *cluster) apply(text string) {
	GinkgoHelper()
	for doc := range strings.SplitSeq(text, "\n---\n") {
		u := &unstructured.Unstructured{}
		Expect(yaml.Unmarshal([]byte(doc), &u.Object)).To(Succeed())
		Eventually(func() error {
			err := c.admin.Create(context.Background(), u)
			if apierrors.IsAlreadyExists(err) {
				return nil
			}
			return err
		}).Should(Succeed(), doc)
	}
}
