// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/accelerator"
	"github.com/millrace-ml/millrace/internal/health"
)

// World is what an Accelerator is counted from.
type World struct {
	// Nodes are all nodes.
	Nodes []corev1.Node
	// Pods are those that hold some of the extended resource.
	Pods []corev1.Pod

	// Healing is what nodes are judged by. The following four are there only where it lets us cordon.
	Healing health.Policy
	// Unwell are the names of nodes that are not healthy by what they show themselves, and Common the signs that most nodes show.
	Unwell map[string]bool
	Common []string
	// Judged is what jobs hold against nodes, by the name of the node.
	Judged map[string][]v1alpha1.JudgedNode
	// Others are the names of all other Accelerators.
	Others []string

	// Served is true where the cluster serves resource.k8s.io/v1, Found where the DeviceClass is there. They and the rest are of
	// Accelerators that name one.
	Served, Found bool
	// Wrong says which CEL expression cannot be read and why.
	Wrong string
	// Devices are those of the class that the selectors choose.
	Devices []accelerator.Device
	// Claims are what all claims of the cluster hold.
	Claims []accelerator.Holding
}
