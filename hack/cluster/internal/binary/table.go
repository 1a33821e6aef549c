// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package binary

// module is a pinned Go module of ours and the programs built from what it requires. Modules are kept
// apart where the dependencies of their programs conflict.
type module struct {
	dir      string            // in hack/cluster, holds go.mod and go.sum
	version  string            // of what it builds, part of the cache key
	programs map[string]string // binary name -> package
	flags    []string          // of go build
}

// kubernetesVersion is stamped into the binaries: without it a server reports v0.0.0 and clients
// misjudge what it can do.
const kubernetesVersion = "v1.37.2"

const kubernetesLdflags = "-s -w" +
	" -X k8s.io/component-base/version.gitVersion=" + kubernetesVersion +
	" -X k8s.io/component-base/version.gitMajor=1" +
	" -X k8s.io/component-base/version.gitMinor=37"

var stripped = []string{"-ldflags", "-s -w"}

// modules is everything the cluster runs that Debian does not carry, or carries too old.
var modules = []module{
	{
		dir: "versions/kubernetes", version: kubernetesVersion,
		programs: map[string]string{
			"kube-apiserver":          "k8s.io/kubernetes/cmd/kube-apiserver",
			"kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
			"kube-proxy":              "k8s.io/kubernetes/cmd/kube-proxy",
			"kube-scheduler":          "k8s.io/kubernetes/cmd/kube-scheduler",
			"kubectl":                 "k8s.io/kubernetes/cmd/kubectl",
			"kubelet":                 "k8s.io/kubernetes/cmd/kubelet",
		},
		flags: []string{"-ldflags", kubernetesLdflags},
	},
	{
		dir: "versions/etcd", version: "v3.7.1", flags: stripped,
		programs: map[string]string{"etcd": "go.etcd.io/etcd/server/v3"},
	},
	{
		dir: "versions/containerd", version: "v2.4.2", flags: stripped,
		programs: map[string]string{
			"containerd":              "github.com/containerd/containerd/v2/cmd/containerd",
			"containerd-shim-runc-v2": "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
			"ctr":                     "github.com/containerd/containerd/v2/cmd/ctr",
		},
	},
	{
		dir: "versions/coredns", version: "v1.14.3", flags: stripped,
		programs: map[string]string{"coredns": "."},
	},
	{
		dir: "versions/netpol", version: "v1.1.1", flags: stripped,
		programs: map[string]string{
			"kube-network-policies": "sigs.k8s.io/kube-network-policies/cmd/kube-network-policies/standard",
		},
	},
	{
		dir: "versions/kueue", version: "v0.16.2", flags: stripped,
		programs: map[string]string{"kueue": "sigs.k8s.io/kueue/cmd/kueue"},
	},
	{
		dir: "versions/kwok", version: "v0.8.0", flags: stripped,
		programs: map[string]string{"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
	},
	{
		dir: "versions/provisioner", version: "v13.0.0", flags: stripped,
		programs: map[string]string{"provisioner": "."},
	},
	{
		dir: "../../test/deviceplugin", version: "v0.37.2", flags: stripped,
		programs: map[string]string{"deviceplugin": "."},
	},
	{
		dir: "../../test/dradriver", version: "v0.37.2", flags: stripped,
		programs: map[string]string{"dradriver": "."},
	},
	{
		dir: "pause", version: "local", flags: stripped,
		programs: map[string]string{"pause": "."},
	},
}
