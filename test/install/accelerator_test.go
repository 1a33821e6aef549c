// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/controllers/accelerator"
)

// TestAcceleratorStates asks kstatus and Argo CD what they make of an Accelerator. Its statuses come from the controller itself.
func TestAcceleratorStates(t *testing.T) {
	node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	node.Status.Capacity = corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("8")}
	for name, c := range map[string]struct {
		spec          string
		world         *accelerator.World
		kstatus, argo string
	}{
		"not yet seen by the manager":  {"{resource: nvidia.com/gpu}", nil, "InProgress", "Progressing"},
		"with devices":                 {"{resource: nvidia.com/gpu}", &accelerator.World{Nodes: []corev1.Node{node}}, "Current", "Healthy"},
		"without any":                  {"{resource: amd.com/gpu}", &accelerator.World{Nodes: []corev1.Node{node}}, "InProgress", "Progressing"},
		"on demand":                    {"{resource: amd.com/gpu, devicesPerNode: 8}", &accelerator.World{}, "Current", "Healthy"},
		"of a class that is not there": {"{deviceClass: {name: gpu}}", &accelerator.World{Served: true}, "Failed", "Degraded"},
	} {
		t.Run(name, func(t *testing.T) {
			a := admitted(t, accelerator.Name, c.spec, &v1alpha1.Accelerator{})
			if c.world != nil {
				accelerator.Report(a, *c.world, now)
				a.Status.ObservedGeneration = a.Generation
			}
			reading{a, c.kstatus, c.argo}.check(t, accelerator.Name)
		})
	}
}
