// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// Bounds of the lists in a status.
const (
	maxShapes     = 32
	maxNamespaces = 100
	maxNodes      = 100
)

// held is what pods hold on a node, and which namespaces do.
type held struct {
	devices, broken int64
	taken           bool
	by              map[string]bool
}

// Tally writes what there is and who uses it into a status. It leaves the conditions alone.
func Tally(st *v1alpha1.AcceleratorStatus, supplies []Supply, uses []Use) {
	on, namespaces := holders(supplies, uses)
	var nodes, capacity, allocatable, inUse, free, unhealthy int64
	st.UnhealthyNodes, st.TakenNodes = nil, 0
	for _, s := range supplies {
		h := on[s.Node]
		bad := max(s.Capacity-s.Allocatable, h.broken)
		if s.Node != "" {
			nodes++
		}
		if h.taken {
			st.TakenNodes++
		}
		capacity, allocatable, inUse = capacity+s.Capacity, allocatable+s.Allocatable, inUse+h.devices
		free, unhealthy = free+freeOn(s, h), unhealthy+bad
		if bad > 0 && s.Node != "" {
			st.UnhealthyNodes = append(st.UnhealthyNodes, v1alpha1.UnhealthyNode{Name: s.Node, Devices: clip(bad)})
		}
	}
	slices.SortFunc(st.UnhealthyNodes, func(a, b v1alpha1.UnhealthyNode) int { return cmp.Compare(a.Name, b.Name) })
	st.UnhealthyNodes = st.UnhealthyNodes[:min(len(st.UnhealthyNodes), maxNodes)]
	st.Nodes, st.Capacity, st.Allocatable = new(clip(nodes)), new(clip(capacity)), new(clip(allocatable))
	st.InUse, st.Free, st.Unhealthy = new(clip(inUse)), new(clip(free)), new(clip(unhealthy))
	st.Shapes, st.ByNamespace = shapes(supplies), namespaces
	st.LargestGang = largest(st, supplies, on)
}

// holders are what is held, by node and by namespace.
func holders(supplies []Supply, uses []Use) (map[string]*held, []v1alpha1.NamespaceUse) {
	on := map[string]*held{}
	for _, s := range supplies {
		on[s.Node] = &held{by: map[string]bool{}}
	}
	total := map[string]*v1alpha1.NamespaceUse{}
	for _, u := range uses {
		h, ours := on[u.Node]
		if !ours {
			continue
		}
		n := total[u.Namespace]
		if n == nil {
			n = &v1alpha1.NamespaceUse{Namespace: u.Namespace}
			total[u.Namespace] = n
		}
		if !h.by[u.Namespace] {
			n.Nodes++
		}
		n.InUse = clip(int64(n.InUse) + u.Devices)
		h.devices, h.broken, h.by[u.Namespace] = h.devices+u.Devices, h.broken+u.Broken, true
		h.taken = h.taken || u.Takes
	}
	var list []v1alpha1.NamespaceUse
	for n := range maps.Values(total) {
		list = append(list, *n)
	}
	slices.SortFunc(list, func(a, b v1alpha1.NamespaceUse) int {
		return cmp.Or(cmp.Compare(b.InUse, a.InUse), cmp.Compare(a.Namespace, b.Namespace))
	})
	return on, list[:min(len(list), maxNamespaces)]
}

// freeOn is what a new pod could be given on a node.
func freeOn(s Supply, h *held) int64 {
	if !s.Open {
		return 0
	}
	return max(0, s.Allocatable-h.devices)
}

// shapes are how many devices nodes have, and how many nodes have so many.
func shapes(supplies []Supply) []v1alpha1.NodeShape {
	nodes := map[int32]int32{}
	for _, s := range supplies {
		nodes[clip(s.Capacity)]++
	}
	var list []v1alpha1.NodeShape
	for devices, n := range nodes {
		list = append(list, v1alpha1.NodeShape{Devices: devices, Nodes: n})
	}
	slices.SortFunc(list, func(a, b v1alpha1.NodeShape) int { return cmp.Compare(b.Devices, a.Devices) })
	return list[:min(len(list), maxShapes)]
}

func largest(st *v1alpha1.AcceleratorStatus, supplies []Supply, on map[string]*held) *v1alpha1.LargestGang {
	gang := &v1alpha1.LargestGang{Devices: new(*st.Free), WholeNodes: new(int32(0))}
	if len(st.Shapes) == 0 {
		return gang
	}
	gang.DevicesPerNode = st.Shapes[0].Devices
	*gang.WholeNodes = gangOf(supplies, on, int64(gang.DevicesPerNode))
	return gang
}

// gangOf is how many pods of so many devices each fit now.
func gangOf(supplies []Supply, on map[string]*held, each int64) int32 {
	fit := int64(0)
	for _, s := range supplies {
		fit += freeOn(s, on[s.Node]) / each
	}
	return clip(fit)
}

func clip(n int64) int32 { return int32(min(n, math.MaxInt32)) }
