// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cluster describes the local cluster: its networks, its configuration files, its certificates
// and the table of its processes.
package cluster

import (
	"os"
	"path/filepath"

	"github.com/millrace-ml/millrace/hack/cluster/internal/paths"
)

// networkPolicyQueue is the kernel queue the enforcer of network policies reads.
const networkPolicyQueue = "98"

// Cluster is the local cluster of one state directory.
type Cluster struct {
	paths    paths.Paths
	settings settings
	texts    map[string]string // configuration files as rendered, by path below <state>/config
	programs map[string]string // program -> path
}

// New describes the cluster whose programs are at the given paths.
func New(p paths.Paths, programs map[string]string) *Cluster {
	return &Cluster{paths: p, settings: detect(p), programs: programs}
}

// containerdPath lets containerd find the shim built beside it.
func (c *Cluster) containerdPath() string {
	return filepath.Dir(c.programs["containerd"]) + string(os.PathListSeparator) + os.Getenv("PATH")
}
