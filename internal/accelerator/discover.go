// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// Class is a DeviceClass and the devices there are of it.
type Class struct {
	Name    string
	Devices []Device
}

// Discover describes what the nodes and device classes of a cluster offer: an Accelerator for each product, and one for each class
// that has devices. The order is that of the names.
func Discover(nodes []corev1.Node, classes []Class) []v1alpha1.Accelerator {
	found := map[string]*v1alpha1.Accelerator{}
	for i := range nodes {
		for _, name := range slices.Sorted(maps.Keys(nodes[i].Status.Capacity)) {
			count := nodes[i].Status.Capacity[name]
			if v, known := vendorOf(string(name)); known && count.Value() > 0 {
				seen(found, v, string(name), &nodes[i])
			}
		}
	}
	var all []v1alpha1.Accelerator
	for _, key := range slices.Sorted(maps.Keys(found)) {
		all = append(all, *found[key])
	}
	exclude(all)
	for _, c := range classes {
		if len(c.Devices) > 0 {
			all = append(all, ofClass(c))
		}
	}
	return distinct(all)
}

func vendorOf(resource string) (vendor, bool) {
	for _, v := range vendors {
		for _, known := range v.resources {
			if start, open := strings.CutSuffix(known, "*"); resource == known || open && strings.HasPrefix(resource, start) {
				return v, true
			}
		}
	}
	return vendor{}, false
}

// seen adds what a node has of a resource to what was found.
func seen(found map[string]*v1alpha1.Accelerator, v vendor, resource string, n *corev1.Node) {
	product, selector := v.product(n)
	key := resource + fmt.Sprint(selector) // maps are printed in order
	a := found[key]
	if a == nil {
		a = &v1alpha1.Accelerator{Spec: v1alpha1.AcceleratorSpec{Resource: resource, NodeSelector: selector, Sharing: sharingOf(resource, product, n)}}
		a.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Accelerator"))
		a.Name = called(resource, product, selector)
		found[key] = a
	}
	if _, onDemand := n.Labels[nodePool]; onDemand {
		capacity := n.Status.Capacity[corev1.ResourceName(resource)]
		a.Spec.DevicesPerNode = min(1024, max(a.Spec.DevicesPerNode, clip(capacity.Value())))
	}
	for _, t := range n.Spec.Taints {
		if toleration, known := tolerate(resource, t); known && !slices.Contains(a.Spec.Tolerations, toleration) && len(a.Spec.Tolerations) < 16 {
			a.Spec.Tolerations = append(a.Spec.Tolerations, toleration)
		}
	}
	a.Spec.Topology = fabricOf(a.Spec.Topology, n)
}

// nodePool is the label of nodes that Karpenter makes on demand. The labels of node pools of clouds do not tell whether they grow.
const nodePool = "karpenter.sh/nodepool"

// product is the name of a node's devices, and the labels that select such nodes.
func (v vendor) product(n *corev1.Node) (string, map[string]string) {
	product, selector := "", map[string]string{}
	for _, key := range v.products {
		if product = n.Labels[key]; product != "" {
			selector[key] = product
			break
		}
	}
	for _, key := range companions {
		if value := n.Labels[key]; value != "" {
			selector[key] = value
		}
	}
	if len(selector) == 0 {
		return product, nil
	}
	return product, selector
}

// called is a name made of the product, and of what tells its nodes and resources apart.
func called(resource, product string, selector map[string]string) string {
	_, kind, _ := strings.Cut(resource, "/")
	parts := []string{product}
	if product == "" {
		parts[0] = kind
	} else if strings.HasPrefix(kind, "mig-") {
		parts = append(parts, kind)
	}
	for _, key := range companions {
		if value := selector[key]; value != "" {
			parts = append(parts, value)
		}
	}
	return label(strings.Join(parts, "-"))
}

// label is a text as a DNS label.
func label(text string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else if !strings.HasSuffix(b.String(), "-") {
			b.WriteByte('-')
		}
	}
	name := strings.Trim(b.String(), "-")
	if name == "" || name[0] < 'a' {
		name = strings.TrimSuffix("accelerator-"+name, "-")
	}
	return names.Short(name)
}

// sharingOf is how the labels of a node say that its devices are shared.
func sharingOf(resource, product string, n *corev1.Node) *v1alpha1.Sharing {
	prefix := "nvidia.com/gpu"
	if strings.HasPrefix(resource, "nvidia.com/mig-") {
		prefix = strings.TrimSuffix(resource, ".shared")
	}
	strategy, replicas := n.Labels[prefix+".sharing-strategy"], n.Labels[prefix+".replicas"]
	if google := n.Labels["cloud.google.com/gke-gpu-sharing-strategy"]; google != "" {
		strategy, replicas = google, n.Labels["cloud.google.com/gke-max-shared-clients-per-gpu"]
	}
	shared := &v1alpha1.Sharing{AcrossProfiles: v1alpha1.AcrossRefuse}
	if count, err := strconv.ParseInt(replicas, 10, 32); err == nil && count >= 2 {
		shared.Replicas = int32(min(count, 1024))
	}
	switch {
	case !strings.HasPrefix(resource, "nvidia.com/"):
		return nil
	case strategy == "time-slicing" || strategy == "time-sharing" || strategy == "" && (shared.Replicas > 0 || strings.HasSuffix(resource, ".shared")):
		shared.Mode = v1alpha1.SharingTimeSlice
	case strategy == "mps":
		shared.Mode = v1alpha1.SharingMPS
	case prefix != "nvidia.com/gpu", strings.Contains(product, "-MIG-"), n.Labels["cloud.google.com/gke-gpu-partition-size"] != "":
		return &v1alpha1.Sharing{Mode: v1alpha1.SharingMIG, AcrossProfiles: v1alpha1.AcrossRefuse}
	default:
		return nil
	}
	return shared
}

// tolerate is what lets pods past a taint that keeps a node for such devices.
func tolerate(resource string, t corev1.Taint) (corev1.Toleration, bool) {
	domain, _, _ := strings.Cut(resource, "/")
	if !strings.HasPrefix(t.Key, domain+"/") && !slices.Contains(reserved, t.Key) || t.Effect == corev1.TaintEffectPreferNoSchedule {
		return corev1.Toleration{}, false
	}
	if strings.HasPrefix(t.Key, domain+"/") {
		return corev1.Toleration{Key: t.Key, Operator: corev1.TolerationOpExists, Effect: t.Effect}, true
	}
	return corev1.Toleration{Key: t.Key, Operator: corev1.TolerationOpEqual, Value: t.Value, Effect: t.Effect}, true
}

// fabricOf adds the labels of a node to the keys of a fabric, in their order.
func fabricOf(keys []string, n *corev1.Node) []string {
	var all []string
	for _, key := range fabrics {
		if _, there := n.Labels[key]; there || slices.Contains(keys, key) {
			all = append(all, key)
		}
	}
	return all[:min(len(all), 8)]
}

func ofClass(c Class) v1alpha1.Accelerator {
	a := v1alpha1.Accelerator{Spec: v1alpha1.AcceleratorSpec{DeviceClass: &v1alpha1.DeviceClass{Name: c.Name}}}
	a.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Accelerator"))
	a.Name = label(c.Name)
	return a
}

// exclude keeps an Accelerator off nodes that another of the same resource describes more closely: whoever asks for a whole device
// must not be given one that is shared.
func exclude(all []v1alpha1.Accelerator) {
	for i := range all {
		own, more := all[i].Spec.NodeSelector, map[string]string{}
		for k := range all {
			if all[k].Spec.Resource == all[i].Spec.Resource && within(own, all[k].Spec.NodeSelector) {
				maps.Copy(more, all[k].Spec.NodeSelector)
			}
		}
		maps.DeleteFunc(more, func(key, _ string) bool { return own[key] != "" })
		var term corev1.NodeSelectorTerm
		for _, key := range slices.Sorted(maps.Keys(more)) {
			term.MatchExpressions = append(term.MatchExpressions, corev1.NodeSelectorRequirement{Key: key, Operator: corev1.NodeSelectorOpDoesNotExist})
		}
		if len(term.MatchExpressions) > 0 {
			all[i].Spec.NodeAffinity = []corev1.NodeSelectorTerm{term}
		}
	}
}

// within is true of labels that are all among others.
func within(labels, others map[string]string) bool {
	for key, value := range labels {
		if others[key] != value {
			return false
		}
	}
	return true
}

// distinct gives a second Accelerator of a name another one, by its resource or else by a number.
func distinct(all []v1alpha1.Accelerator) []v1alpha1.Accelerator {
	slices.SortStableFunc(all, func(a, b v1alpha1.Accelerator) int { return strings.Compare(a.Name, b.Name) })
	taken := map[string]bool{}
	for i := range all {
		name := all[i].Name
		if _, kind, _ := strings.Cut(all[i].Spec.Resource, "/"); taken[name] && kind != "" {
			name = label(name + "-" + kind)
			all[i].Name = name
		}
		for n := 2; taken[all[i].Name]; n++ {
			all[i].Name = names.Short(fmt.Sprintf("%s-%d", name, n))
		}
		taken[all[i].Name] = true
	}
	return all
}
