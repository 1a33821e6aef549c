// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"

	"github.com/millrace-ml/millrace/internal/accelerator"
)

// World is what an Accelerator is counted from.
type World struct {
	// Nodes are all nodes.
	Nodes []corev1.Node
	// Pods are those that hold some of the extended resource.
	Pods []corev1.Pod

	// Served is true where the cluster serves resource.k8s.io/v1, Found where the DeviceClass is there. They and the rest are of
	// Accelerators that name one.
	Served, Found bool
	// Wrong says which CEL expression cannot be read and why.
	Wrong string
	// Devices are those of the class that the selectors choose.
	Devices []accelerator.Device
	// Claims are all of the cluster.
	Claims []resourcev1.ResourceClaim
}
