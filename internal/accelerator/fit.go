// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
	"cmp"
	"slices"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// Looked is true of an Accelerator whose status speaks of its spec.
func Looked(a *v1alpha1.Accelerator) bool { return a.Status.ObservedGeneration >= a.Generation }

// Most is the largest number of devices that a pod can ever be given; false where nothing is known of the nodes.
func Most(a *v1alpha1.Accelerator) (int32, bool) {
	most := a.Spec.DevicesPerNode
	if len(a.Status.Shapes) > 0 {
		most = max(most, a.Status.Shapes[0].Devices)
	}
	return most, a.Status.Nodes != nil || a.Spec.DevicesPerNode > 0
}

// Nearest is the Accelerator that can give so many devices to a pod and is the least too large for that; nil where none can.
func Nearest(all []v1alpha1.Accelerator, count int32) *v1alpha1.Accelerator {
	var able []*v1alpha1.Accelerator
	for i := range all {
		if most, known := Most(&all[i]); known && most >= count {
			able = append(able, &all[i])
		}
	}
	if len(able) == 0 {
		return nil
	}
	return slices.MinFunc(able, func(a, b *v1alpha1.Accelerator) int {
		one, _ := Most(a)
		other, _ := Most(b)
		return cmp.Or(cmp.Compare(one, other), cmp.Compare(a.Name, b.Name))
	})
}

// Crowded names the Profiles that hold every node of an Accelerator whose devices are not shared across Profiles; none when a pod
// of the namespace can be placed.
func Crowded(a *v1alpha1.Accelerator, namespace string) []string {
	if !Strict(a) || a.Status.Nodes == nil || *a.Status.Nodes == 0 || a.Status.TakenNodes < *a.Status.Nodes {
		return nil
	}
	var others []string
	for _, use := range a.Status.ByNamespace {
		if Profile(use.Namespace) == Profile(namespace) {
			return nil
		}
		others = append(others, Profile(use.Namespace))
	}
	slices.Sort(others)
	return slices.Compact(others)
}
