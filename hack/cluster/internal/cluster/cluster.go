// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cluster runs a real Kubernetes node on this machine: its networks, its configuration files, its certificates
// and the table of its processes.
//
//	up:    prerequisites > programs > certificates > configuration > networks > processes, wave by wave > add-ons
//	down:  processes, last wave first > containers > mounts > networks > state
//
// Every step leaves alone what already is as it should be, so `up` on a running cluster takes a second and repairs
// what is broken.
package cluster

import (
	"os"
	"path/filepath"

	"github.com/millrace-ml/millrace/hack/cluster/internal/binary"
	"github.com/millrace-ml/millrace/hack/cluster/internal/console"
	"github.com/millrace-ml/millrace/hack/cluster/internal/images"
	"github.com/millrace-ml/millrace/hack/cluster/internal/options"
	"github.com/millrace-ml/millrace/hack/cluster/internal/paths"
	"github.com/millrace-ml/millrace/hack/cluster/internal/process"
)

// networkPolicyQueue is the kernel queue the enforcer of network policies reads.
const networkPolicyQueue = "98"

// Cluster is the local cluster of one state directory.
type Cluster struct {
	paths      paths.Paths
	console    *console.Console
	binaries   binary.Cache
	images     images.Cache
	supervisor process.Supervisor
	settings   settings
	options    options.Options
	texts      map[string]string // configuration files as rendered, by path below <state>/config
	programs   map[string]string // program -> path
}

// New describes the cluster of a state directory.
func New(p paths.Paths, terminal *console.Console, b binary.Cache, i images.Cache) *Cluster {
	return &Cluster{
		paths: p, console: terminal, binaries: b, images: i, settings: detect(p),
		supervisor: process.Supervisor{Records: p.InState("processes"), Logs: p.InState("logs")},
	}
}

// containerdPath lets containerd find the shim built beside it.
func (c *Cluster) containerdPath() string {
	return filepath.Dir(c.programs["containerd"]) + string(os.PathListSeparator) + os.Getenv("PATH")
}

// Kubeconfig is the administrator's access to the cluster.
func (c *Cluster) Kubeconfig() string { return c.paths.Kubeconfig() }
