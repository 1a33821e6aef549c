// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/component-helpers/resource"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// Supply is the devices of a node, or of none where they hang on the network.
type Supply struct {
	Node string
	// Capacity counts all devices, Allocatable those that are healthy.
	Capacity, Allocatable int64
	// Open is true of a node that takes pods.
	Open bool
}

// Use is the devices that a pod holds.
type Use struct {
	Node, Namespace string
	Devices         int64
	// Broken are those of them that the kubelet calls unhealthy.
	Broken int64
	// Takes is true of a pod that keeps pods of other Profiles off its node.
	Takes bool
}

// Device is a device of a DeviceClass, as a ResourceSlice tells of it.
type Device struct {
	Driver, Pool, Name string
	// Node is empty for a device that hangs on the network.
	Node string
	// Broken is true of a device whose taints keep pods away.
	Broken bool
}

// Nodes are those that an Accelerator is about, of all. The error names the field that cannot be read.
func Nodes(a *v1alpha1.Accelerator, all []corev1.Node) ([]*corev1.Node, error) {
	selector, err := labels.ValidatedSelectorFromSet(a.Spec.NodeSelector)
	if err != nil {
		return nil, fmt.Errorf("spec.nodeSelector: %w", err)
	}
	terms, err := termsOf(a)
	if err != nil {
		return nil, err
	}
	var found []*corev1.Node
	for i := range all {
		if n := &all[i]; selector.Matches(labels.Set(n.Labels)) && (terms == nil || terms.Match(n)) {
			found = append(found, n)
		}
	}
	return found, nil
}

func termsOf(a *v1alpha1.Accelerator) (*nodeaffinity.NodeSelector, error) {
	if len(a.Spec.NodeAffinity) == 0 {
		return nil, nil
	}
	terms, err := nodeaffinity.NewNodeSelector(
		&corev1.NodeSelector{NodeSelectorTerms: a.Spec.NodeAffinity}, field.WithPath(field.NewPath("spec", "nodeAffinity")),
	)
	if err != nil {
		// The library knows the terms by the name of the field that they have in a pod.
		return nil, errors.New(strings.ReplaceAll(err.Error(), "nodeAffinity.nodeSelectorTerms", "nodeAffinity"))
	}
	return terms, nil
}

// Supplies are the nodes that have devices of an extended resource.
func Supplies(a *v1alpha1.Accelerator, nodes []*corev1.Node) []Supply {
	name := corev1.ResourceName(a.Spec.Resource)
	var found []Supply
	for _, n := range nodes {
		capacity, allocatable := n.Status.Capacity[name], n.Status.Allocatable[name]
		if most := max(capacity.Value(), allocatable.Value()); most > 0 {
			found = append(found, Supply{Node: n.Name, Capacity: most, Allocatable: allocatable.Value(), Open: open(a, n)})
		}
	}
	return found
}

// DeviceSupplies are the nodes that have devices of a DeviceClass.
func DeviceSupplies(a *v1alpha1.Accelerator, nodes []*corev1.Node, devices []Device) []Supply {
	found := []Supply{{Open: true}}
	places := map[string]int{"": 0}
	for _, n := range nodes {
		places[n.Name] = len(found)
		found = append(found, Supply{Node: n.Name, Open: open(a, n)})
	}
	for _, d := range devices {
		i, known := places[d.Node]
		if !known {
			continue
		}
		found[i].Capacity++
		if !d.Broken {
			found[i].Allocatable++
		}
	}
	return slices.DeleteFunc(found, func(s Supply) bool { return s.Capacity == 0 })
}

// open is true of a node that takes pods with the Accelerator's tolerations.
func open(a *v1alpha1.Accelerator, n *corev1.Node) bool {
	ready := slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
	shut := slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool {
		return t.Effect != corev1.TaintEffectPreferNoSchedule && !tolerated(a.Spec.Tolerations, t)
	})
	return ready && !n.Spec.Unschedulable && !shut
}

func tolerated(tolerations []corev1.Toleration, taint corev1.Taint) bool {
	return slices.ContainsFunc(tolerations, func(t corev1.Toleration) bool { return t.ToleratesTaint(klog.Logger{}, &taint, false) })
}

// Uses are what pods hold of an Accelerator's extended resource.
func Uses(a *v1alpha1.Accelerator, pods []corev1.Pod) []Use {
	var found []Use
	name, strict := a.Spec.Resource, Strict(a)
	for i := range pods {
		p := &pods[i]
		if !Holds(p) {
			continue
		}
		asked := resource.PodRequests(p, resource.PodResourcesOptions{})[corev1.ResourceName(name)]
		if n := asked.Value(); n > 0 {
			takes := strict && p.Labels[names.Accelerator] == a.Name
			found = append(found, Use{Node: p.Spec.NodeName, Namespace: p.Namespace, Devices: n, Broken: broken(p, name), Takes: takes})
		}
	}
	return found
}

// Resources are the extended resources that a pod asks for.
func Resources(p *corev1.Pod) []string {
	var found []string
	for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
		for name := range c.Resources.Requests {
			if strings.Contains(string(name), "/") && !slices.Contains(found, string(name)) {
				found = append(found, string(name))
			}
		}
	}
	return found
}

// Holds is true of a pod that holds what it asked for: it has a node and has not ended.
func Holds(p *corev1.Pod) bool {
	return p.Spec.NodeName != "" && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
}

// broken is the number of devices of a pod that its kubelet calls unhealthy.
func broken(p *corev1.Pod, name string) int64 {
	count := int64(0)
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		for _, r := range c.AllocatedResourcesStatus {
			if string(r.Name) == name {
				count += unhealthy(r.Resources)
			}
		}
	}
	return count
}

func unhealthy(devices []corev1.ResourceHealth) int64 {
	count := int64(0)
	for _, d := range devices {
		if d.Health == corev1.ResourceHealthStatusUnhealthy {
			count++
		}
	}
	return count
}

// Holding is what a claim has been given.
type Holding struct {
	Namespace string
	Devices   []DeviceID
}

// DeviceID tells a device of dynamic resource allocation from all others.
type DeviceID struct{ Driver, Pool, Name string }

// HoldingOf is what a claim has been given. Who only looks at a device, by admin access, does not hold it.
func HoldingOf(claim *resourcev1.ResourceClaim) Holding {
	h := Holding{Namespace: claim.Namespace}
	if claim.Status.Allocation == nil {
		return h
	}
	for _, r := range claim.Status.Allocation.Devices.Results {
		if r.AdminAccess == nil || !*r.AdminAccess {
			h.Devices = append(h.Devices, DeviceID{r.Driver, r.Pool, r.Device})
		}
	}
	return h
}

// ClaimUses are what claims hold of devices.
func ClaimUses(devices []Device, claims []Holding) []Use {
	nodes := make(map[DeviceID]string, len(devices))
	for _, d := range devices {
		nodes[DeviceID{d.Driver, d.Pool, d.Name}] = d.Node
	}
	found := make([]Use, 0, len(claims))
	for _, claim := range claims {
		for _, id := range claim.Devices {
			if node, ours := nodes[id]; ours {
				found = append(found, Use{Node: node, Namespace: claim.Namespace, Devices: 1})
			}
		}
	}
	return found
}
