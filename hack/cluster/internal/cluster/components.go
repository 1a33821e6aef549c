// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millrace-ml/millrace/hack/cluster/internal/options"
	"github.com/millrace-ml/millrace/hack/cluster/internal/process"
)

// component is one process of the cluster.
type component struct {
	name   string
	binary string // name of the program, when it is not the component's
	args   []string
	env    []string
	config []string // files below <state>/config it reads at its start
	ready  probe    // nil: ready when it runs
	grace  time.Duration
	absent bool // left out: nobody asked for it
	wave   wave
}

// wave orders the start: a component starts when all of earlier waves are ready, and stops before them.
type wave int

const (
	foundation  wave = iota // what everything stores and runs in
	api                     // the API server
	controllers             // what needs the API and no node
	node                    // what makes this machine a node
	addons                  // what serves the pods
	simulation              // simulated devices and nodes, on request
)

const defaultGrace = 10 * time.Second

func (c component) program() string {
	if c.binary != "" {
		return c.binary
	}
	return c.name
}

// components is the cluster: every process of it, in order.
func (c *Cluster) components() []component {
	config := func(name string) string { return c.paths.InState("config", name) }
	tools := config("local-tools.kubeconfig")
	return append([]component{
		{
			name: "etcd", wave: foundation, args: c.etcdArgs(),
			ready: httpProbe("https://" + nodeIP + ":2379/health"),
		},
		{
			name: "containerd", wave: foundation, args: []string{"--config", config("containerd.toml")},
			env: []string{"PATH=" + c.containerdPath()}, config: []string{"containerd.toml"},
			ready: socketProbe(c.paths.InState("run", "containerd.sock")),
		},
		{
			name: "kube-apiserver", wave: api, args: c.apiServerArgs(), config: []string{"audit.yaml"},
			ready: httpProbe(server + "/readyz"),
		},
		{
			name: "kube-controller-manager", wave: controllers, args: c.controllerManagerArgs(),
			ready: httpProbe("https://" + nodeIP + ":10257/healthz"),
		},
		{
			name: "kube-scheduler", wave: controllers, config: []string{"kube-scheduler.yaml"},
			args: flags(c.gated(map[string]string{
				"config": config("kube-scheduler.yaml"), "bind-address": nodeIP,
				"tls-cert-file": c.pkiFile("kube-scheduler.crt"), "tls-private-key-file": c.pkiFile("kube-scheduler.key"),
			})),
			ready: httpProbe("https://" + nodeIP + ":10259/healthz"),
		},
		{
			name: "kube-proxy", wave: node, config: []string{"kube-proxy.yaml"},
			args:  []string{"--config=" + config("kube-proxy.yaml")},
			ready: httpProbe("http://" + nodeIP + ":10256/livez"),
		},
		{
			name: "kubelet", wave: node, args: c.kubeletArgs(),
			config: []string{"kubelet.yaml", "cni/10-millrace.conflist"},
			ready:  httpProbe("http://" + nodeIP + ":10248/healthz"),
		},
		{
			name: "provisioner", wave: addons,
			args: []string{"-kubeconfig", tools, "-root", c.paths.InState("volumes")},
		},
		{
			name: "network-policies", binary: "kube-network-policies", wave: addons, args: networkPolicyArgs(tools),
			ready: httpProbe("http://" + nodeIP + ":9080/metrics"),
			grace: 300 * time.Millisecond, // it sleeps five seconds after it was told to end
		},
	}, c.simulation(tools)...)
}

// simulation is the components that are there on request.
func (c *Cluster) simulation(tools string) []component {
	nodes, gpus, claims := c.options.Count(options.Nodes), c.options.Count(options.GPUs), c.options.Count(options.DRA)
	return []component{
		{
			name: "gpus", binary: "deviceplugin", wave: simulation, absent: gpus == 0,
			args: c.devicePluginArgs(), ready: c.capacityProbe(gpuResource, gpus),
		},
		{
			name: "dra", binary: "dradriver", wave: simulation, absent: claims == 0,
			args: c.draArgs(tools), ready: c.slicesProbe(claims),
		},
		{
			name: "kwok", wave: simulation, config: []string{"kwok.yaml"}, absent: nodes == 0,
			args:  []string{"--kubeconfig", tools, "--config", c.paths.InState("config", "kwok.yaml")},
			ready: httpProbe("http://" + nodeIP + ":10247/healthz"),
		},
	}
}

// spec is the process of a component, given where its program is.
func (c *Cluster) spec(comp component, path string) process.Spec {
	spec := process.Spec{Name: comp.name, Path: path, Args: comp.args, Env: comp.env}
	for _, file := range comp.config {
		spec.Inputs = append(spec.Inputs, c.texts[file])
	}
	return spec
}

// flags turns a set of flags into arguments, sorted so that equal sets are equal processes. Empty ones are left out.
func flags(set map[string]string) []string {
	var args []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if set[name] != "" {
			args = append(args, "--"+name+"="+set[name])
		}
	}
	return args
}

// gated adds the feature gates the cluster was asked for.
func (c *Cluster) gated(set map[string]string) map[string]string {
	set["feature-gates"] = strings.Join(c.options.Feature().FeatureGates, ",")
	return set
}

func (c *Cluster) etcdArgs() []string {
	return flags(map[string]string{
		"name":                  "millrace",
		"data-dir":              c.paths.InState("etcd"),
		"listen-client-urls":    "https://" + nodeIP + ":2379",
		"advertise-client-urls": "https://" + nodeIP + ":2379",
		"listen-peer-urls":      "http://127.0.0.1:0", // alone, but it insists on a socket
		"cert-file":             c.pkiFile("etcd.crt"),
		"key-file":              c.pkiFile("etcd.key"),
		"trusted-ca-file":       c.pkiFile("ca.crt"),
		"client-cert-auth":      "true",
		"unsafe-no-fsync":       "true", // a throw-away cluster
		"quota-backend-bytes":   "4294967296",
		"log-level":             "warn",
	})
}

func (c *Cluster) apiServerArgs() []string {
	return flags(c.gated(map[string]string{
		"bind-address":                       nodeIP,
		"advertise-address":                  nodeIP,
		"secure-port":                        "6443",
		"service-cluster-ip-range":           serviceCIDR,
		"authorization-mode":                 "Node,RBAC",
		"enable-admission-plugins":           "NodeRestriction",
		"allow-privileged":                   "true",
		"audit-policy-file":                  c.paths.InState("config", "audit.yaml"),
		"audit-log-path":                     c.paths.InState("logs", "manager-requests.log"),
		"audit-log-maxsize":                  "100",
		"audit-log-maxbackup":                "1",
		"client-ca-file":                     c.pkiFile("ca.crt"),
		"tls-cert-file":                      c.pkiFile("kube-apiserver.crt"),
		"tls-private-key-file":               c.pkiFile("kube-apiserver.key"),
		"etcd-servers":                       "https://" + nodeIP + ":2379",
		"etcd-cafile":                        c.pkiFile("ca.crt"),
		"etcd-certfile":                      c.pkiFile("etcd-client.crt"),
		"etcd-keyfile":                       c.pkiFile("etcd-client.key"),
		"kubelet-certificate-authority":      c.pkiFile("ca.crt"),
		"kubelet-client-certificate":         c.pkiFile("kubelet-client.crt"),
		"kubelet-client-key":                 c.pkiFile("kubelet-client.key"),
		"kubelet-preferred-address-types":    "InternalIP",
		"proxy-client-cert-file":             c.pkiFile("front-proxy.crt"),
		"proxy-client-key-file":              c.pkiFile("front-proxy.key"),
		"requestheader-client-ca-file":       c.pkiFile("ca.crt"),
		"requestheader-allowed-names":        "front-proxy-client",
		"requestheader-username-headers":     "X-Remote-User",
		"requestheader-group-headers":        "X-Remote-Group",
		"requestheader-extra-headers-prefix": "X-Remote-Extra-",
		"service-account-issuer":             "https://kubernetes.default.svc.cluster.local",
		"service-account-key-file":           c.pkiFile("sa.pub"),
		"service-account-signing-key-file":   c.pkiFile("sa.key"),
		"runtime-config":                     strings.Join(c.options.Feature().RuntimeConfig, ","),
	}))
}

func (c *Cluster) controllerManagerArgs() []string {
	kubeconfig := c.paths.InState("config", "kube-controller-manager.kubeconfig")
	return flags(c.gated(map[string]string{
		"kubeconfig":                       kubeconfig,
		"authentication-kubeconfig":        kubeconfig,
		"authorization-kubeconfig":         kubeconfig,
		"bind-address":                     nodeIP,
		"tls-cert-file":                    c.pkiFile("kube-controller-manager.crt"),
		"tls-private-key-file":             c.pkiFile("kube-controller-manager.key"),
		"leader-elect":                     "false",
		"use-service-account-credentials":  "true",
		"root-ca-file":                     c.pkiFile("ca.crt"),
		"client-ca-file":                   c.pkiFile("ca.crt"),
		"cluster-signing-cert-file":        c.pkiFile("ca.crt"),
		"cluster-signing-key-file":         c.pkiFile("ca.key"),
		"service-account-private-key-file": c.pkiFile("sa.key"),
		"kube-api-qps":                     "1000", // else it, not the manager under test, is what a benchmark waits for
		"kube-api-burst":                   "2000",
	}))
}

func (c *Cluster) kubeletArgs() []string {
	return flags(map[string]string{
		"config":            c.paths.InState("config", "kubelet.yaml"),
		"kubeconfig":        c.paths.InState("config", "node.kubeconfig"),
		"root-dir":          c.paths.InState("kubelet"),
		"cert-dir":          c.paths.InState("kubelet", "pki"),
		"hostname-override": nodeName,
		"node-ip":           nodeIP,
	})
}

func networkPolicyArgs(kubeconfig string) []string {
	return []string{
		"-kubeconfig", kubeconfig, "-hostname-override", nodeName, "-disable-nri", "-nfqueue-id", networkPolicyQueue,
		"-metrics-bind-address", nodeIP + ":9080",
	}
}

func (c *Cluster) pkiFile(name string) string { return c.settings.PKI + "/" + name }
