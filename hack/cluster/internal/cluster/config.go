// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"text/template"

	"github.com/millrace-ml/millrace/hack/cluster/internal/pki"
)

//go:embed templates
var templates embed.FS

// configs are the files the components read: template -> file in <state>/config.
var configs = map[string]string{
	"config/audit.yaml":          "audit.yaml",
	"config/containerd.toml":     "containerd.toml",
	"config/cni.conflist":        "cni/10-millrace.conflist",
	"config/kubelet.yaml":        "kubelet.yaml",
	"config/kube-proxy.yaml":     "kube-proxy.yaml",
	"config/kube-scheduler.yaml": "kube-scheduler.yaml",
	"kwok/kwok.yaml":             "kwok.yaml",
}

// certificates is everything the cluster's authority signs.
var certificates = []pki.Request{
	{
		Name: "kube-apiserver", CommonName: "kube-apiserver",
		IPs: []net.IP{net.ParseIP(nodeIP), net.ParseIP(apiServiceIP), net.IPv4(127, 0, 0, 1)},
		DNSNames: []string{
			"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc.cluster.local",
		},
	},
	{Name: "etcd", CommonName: "etcd", IPs: []net.IP{net.ParseIP(nodeIP)}},
	{Name: "kubelet", CommonName: "kubelet", IPs: []net.IP{net.ParseIP(nodeIP)}, DNSNames: []string{nodeName}},
	{Name: "etcd-client", CommonName: "kube-apiserver"},
	{Name: "kubelet-client", CommonName: "kube-apiserver", Organization: "system:masters"},
	{Name: "front-proxy", CommonName: "front-proxy-client"},
	{Name: "admin", CommonName: "admin", Organization: "system:masters"},
	{Name: "node", CommonName: "system:node:" + nodeName, Organization: "system:nodes"},
	{Name: "kube-controller-manager", CommonName: "system:kube-controller-manager", IPs: []net.IP{net.ParseIP(nodeIP)}},
	{Name: "kube-scheduler", CommonName: "system:kube-scheduler", IPs: []net.IP{net.ParseIP(nodeIP)}},
	{Name: "kube-proxy", CommonName: "system:kube-proxy"},
	{Name: "local-tools", CommonName: "millrace:local-tools", Organization: "system:masters"},
}

// users are the certificates that need a kubeconfig.
var users = []string{
	"admin", "node", "kube-controller-manager", "kube-scheduler", "kube-proxy", "local-tools",
}

func render(name string, data any) (string, error) {
	// Brackets of their own: YAML flow mappings and KWOK's templates are full of braces.
	t, err := template.New(filepath.Base(name)).Delims("<<", ">>").ParseFS(templates, "templates/"+name)
	if err != nil {
		return "", fmt.Errorf("parsing template %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		return "", fmt.Errorf("rendering %s: %w", name, err)
	}
	return out.String(), nil
}

// renderConfigs returns the text of every configuration file by its path below <state>/config.
func renderConfigs(s settings) (map[string]string, error) {
	texts := map[string]string{}
	for name, file := range configs {
		text, err := render(name, s)
		if err != nil {
			return nil, err
		}
		texts[file] = text
	}
	return texts, nil
}

// writeConfigs stores the configuration files and kubeconfigs.
func (c *Cluster) writeConfigs() error {
	texts, err := renderConfigs(c.settings)
	if err != nil {
		return err
	}
	for file, text := range texts {
		if err := writeFile(c.paths.InState("config", file), text); err != nil {
			return err
		}
	}
	for _, user := range users {
		text, err := c.kubeconfig(user)
		if err != nil {
			return err
		}
		if err := writeFile(c.paths.InState("config", user+".kubeconfig"), text); err != nil {
			return err
		}
		if user != "admin" {
			continue
		}
		if err := writeFile(c.paths.Kubeconfig(), text); err != nil {
			return err
		}
	}
	c.texts = texts
	return nil
}

func (c *Cluster) kubeconfig(user string) (string, error) {
	data := struct{ User, Server, CA, Certificate, Key string }{User: user, Server: server}
	for path, field := range map[string]*string{
		pki.Certificate(c.settings.PKI, "ca"): &data.CA,
		pki.Certificate(c.settings.PKI, user): &data.Certificate,
		pki.Key(c.settings.PKI, user):         &data.Key,
	} {
		content, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("writing the kubeconfig of %s: %w", user, err)
		}
		*field = base64.StdEncoding.EncodeToString(content)
	}
	return render("config/kubeconfig", data)
}

// writeFile leaves a file alone that already says the same, and replaces it whole otherwise.
func writeFile(path, text string) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == text {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

func hashOf(texts ...string) string {
	sum := sha256.New()
	for _, text := range texts {
		fmt.Fprintf(sum, "%d %s", len(text), text)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}
