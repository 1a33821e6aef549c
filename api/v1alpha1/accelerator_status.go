// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Conditions of an Accelerator, beside Reconciling and Stalled. Ready is the root. All of them are always present.
const (
	// ConditionReady is True when pods that ask for the devices can have some, now or on demand.
	ConditionReady = "Ready"
	// ConditionDevicesHealthy is False when devices are broken.
	ConditionDevicesHealthy = "DevicesHealthy"
	// ConditionNodesCordoned is True when Millrace has cordoned nodes that have the devices.
	ConditionNodesCordoned = "NodesCordoned"
)

// Reasons of the conditions of an Accelerator.
const (
	// ReasonDevicesFound: nodes have devices.
	ReasonDevicesFound = "DevicesFound"
	// ReasonOnDemand: no node has devices now; spec.devicesPerNode says that nodes are made on demand.
	ReasonOnDemand = "OnDemand"
	// ReasonNoNodes: no node has the labels that the spec asks for.
	ReasonNoNodes = "NoNodes"
	// ReasonNoDevices: nodes have the labels and none has a device.
	ReasonNoDevices = "NoDevices"
	// ReasonInvalidSelector: a selector of the spec cannot be read.
	ReasonInvalidSelector = "InvalidSelector"
	// ReasonDeviceClassNotFound: the DeviceClass is not there.
	ReasonDeviceClassNotFound = "DeviceClassNotFound"
	// ReasonClaimsNotServed: the cluster does not serve resource.k8s.io/v1.
	ReasonClaimsNotServed = "ClaimsNotServed"
	// ReasonAllHealthy: no device is known to be broken.
	ReasonAllHealthy = "AllHealthy"
	// ReasonUnhealthyDevices: devices are broken.
	ReasonUnhealthyDevices = "UnhealthyDevices"
	// ReasonCordoned: nodes are cordoned because they are bad.
	ReasonCordoned = "Cordoned"
	// ReasonNoneCordoned: no node is bad enough to be cordoned.
	ReasonNoneCordoned = "NoneCordoned"
	// ReasonCordonNever: the configuration of the manager does not let it cordon nodes.
	ReasonCordonNever = "CordonNever"
	// ReasonCordonLimit: so many nodes are cordoned already that bad ones are not.
	ReasonCordonLimit = "CordonLimit"
	// ReasonCordonForbidden: the manager is told to cordon nodes and has no permission to.
	ReasonCordonForbidden = "CordonForbidden"
	// ReasonCounted: the devices were counted.
	ReasonCounted = "Counted"
)

// AcceleratorStatus is what there is of an Accelerator in the cluster.
type AcceleratorStatus struct {
	// conditions are the state of the Accelerator. Ready is the one that decides.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:default={{type: Ready, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: DevicesHealthy, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: NodesCordoned, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Reconciling, status: "True", reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Stalled, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}}
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of the spec this status speaks of.
	// +kubebuilder:validation:Minimum=0
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// nodes is the number of nodes that have devices.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Nodes *int32 `json:"nodes,omitempty"`

	// capacity is the number of devices of these nodes.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Capacity *int32 `json:"capacity,omitempty"`

	// allocatable is the number of them that can be used: those that are healthy.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Allocatable *int32 `json:"allocatable,omitempty"`

	// inUse is the number of them that pods hold.
	// +kubebuilder:validation:Minimum=0
	// +optional
	InUse *int32 `json:"inUse,omitempty"`

	// free is the number of them that a new pod could be given: healthy, not in use, on a node that takes pods.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Free *int32 `json:"free,omitempty"`

	// unhealthy is the number of devices that are broken.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Unhealthy *int32 `json:"unhealthy,omitempty"`

	// takenNodes is the number of nodes with pods that named this Accelerator and share its devices within their Profile only: pods of
	// other Profiles are kept away from them.
	// +kubebuilder:validation:Minimum=0
	// +optional
	TakenNodes int32 `json:"takenNodes,omitempty"`

	// largestGang is the largest set of pods that fits now, as far as devices go.
	// +optional
	LargestGang *LargestGang `json:"largestGang,omitempty"`

	// shapes are the sizes of the nodes, the largest first: what no node can ever give is known by them.
	// +listType=map
	// +listMapKey=devices
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Shapes []NodeShape `json:"shapes,omitempty"`

	// byNamespace tells who uses the devices, the largest users first; at most 100 of them.
	// +listType=map
	// +listMapKey=namespace
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +optional
	ByNamespace []NamespaceUse `json:"byNamespace,omitempty"`

	// unhealthyNodes are the nodes with broken devices, by name; at most 100 of them.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +optional
	UnhealthyNodes []UnhealthyNode `json:"unhealthyNodes,omitempty"`

	// cordonedNodes are the nodes that Millrace has cordoned for this Accelerator, by name; at most 100 of them.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +optional
	CordonedNodes []CordonedNode `json:"cordonedNodes,omitempty"`
}

// LargestGang is the largest set of pods that fits now.
type LargestGang struct {
	// devices is the number of pods of one device each.
	// +kubebuilder:validation:Minimum=0
	// +required
	Devices *int32 `json:"devices,omitempty"`

	// wholeNodes is the number of pods that take all devices of a node of the largest shape.
	// +kubebuilder:validation:Minimum=0
	// +required
	WholeNodes *int32 `json:"wholeNodes,omitempty"`

	// devicesPerNode is the number of devices such a pod takes.
	// +kubebuilder:validation:Minimum=0
	// +optional
	DevicesPerNode int32 `json:"devicesPerNode,omitempty"`
}

// NodeShape is a number of devices that nodes have.
type NodeShape struct {
	// devices of each of the nodes, broken ones included.
	// +kubebuilder:validation:Minimum=1
	// +required
	Devices int32 `json:"devices,omitempty"`

	// nodes is how many nodes have so many.
	// +kubebuilder:validation:Minimum=1
	// +required
	Nodes int32 `json:"nodes,omitempty"`
}

// NamespaceUse is what the pods of a namespace use.
type NamespaceUse struct {
	// namespace of the pods.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +required
	Namespace string `json:"namespace,omitempty"`

	// inUse is the number of devices they hold.
	// +kubebuilder:validation:Minimum=1
	// +required
	InUse int32 `json:"inUse,omitempty"`

	// nodes is the number of nodes they hold them on.
	// +kubebuilder:validation:Minimum=1
	// +required
	Nodes int32 `json:"nodes,omitempty"`
}

// UnhealthyNode is a node with broken devices.
type UnhealthyNode struct {
	// name of the node.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name,omitempty"`

	// devices is the number of broken devices.
	// +kubebuilder:validation:Minimum=1
	// +required
	Devices int32 `json:"devices,omitempty"`
}

// CordonedNode is a node that Millrace has cordoned.
type CordonedNode struct {
	// name of the node.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name,omitempty"`

	// reason is the kind of evidence: NodeCondition, DeviceUnhealthy or AdmissionFailures.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +required
	Reason string `json:"reason,omitempty"`

	// evidence is the same in words.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Evidence string `json:"evidence,omitempty"`

	// since is when it was cordoned.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
}

// GetConditions returns the conditions of the Accelerator.
func (a *Accelerator) GetConditions() []metav1.Condition { return a.Status.Conditions }

// SetConditions replaces the conditions of the Accelerator.
func (a *Accelerator) SetConditions(c []metav1.Condition) { a.Status.Conditions = c }

// SetObservedGeneration records the generation the status speaks of.
func (a *Accelerator) SetObservedGeneration(g int64) { a.Status.ObservedGeneration = g }
