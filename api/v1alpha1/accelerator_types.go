// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Accelerator is a kind of device under one name: what a pod asks for to get some, the nodes that have them, and what else such a
// pod needs. Its status tells how many there are, who uses them, and what fits now.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=acc,categories=millrace
// +kubebuilder:printcolumn:name="Resource",type=string,JSONPath=`.spec.resource`
// +kubebuilder:printcolumn:name="Class",type=string,JSONPath=`.spec.deviceClass.name`,description="device class of dynamic resource allocation",priority=1
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.status.nodes`
// +kubebuilder:printcolumn:name="Capacity",type=integer,JSONPath=`.status.capacity`
// +kubebuilder:printcolumn:name="In use",type=integer,JSONPath=`.status.inUse`
// +kubebuilder:printcolumn:name="Free",type=integer,JSONPath=`.status.free`
// +kubebuilder:printcolumn:name="Unhealthy",type=integer,JSONPath=`.status.unhealthy`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$')",message="metadata.name must be a DNS label, because pods carry it as a label: at most 63 lower-case letters, digits and '-', starting with a letter, ending with a letter or digit, without dots"
type Accelerator struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the object's metadata. Its name is what jobs ask for.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says what the name stands for.
	// +required
	Spec AcceleratorSpec `json:"spec,omitzero"`
	// status is what there is of it in the cluster.
	// +kubebuilder:default={}
	// +optional
	Status AcceleratorStatus `json:"status,omitzero"`
}

// AcceleratorList is a list of Accelerators.
//
// +kubebuilder:object:root=true
type AcceleratorList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []Accelerator `json:"items"`
}

// AcceleratorSpec says what the name of an Accelerator stands for. A change is for pods that are made later; those that run are
// left alone.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="has(self.resource) != has(self.deviceClass)",fieldPath=".resource",message="set one of spec.resource (devices of a device plugin) and spec.deviceClass (dynamic resource allocation)"
type AcceleratorSpec struct {
	// resource is the extended resource that a pod asks for, such as nvidia.com/gpu, nvidia.com/mig-1g.10gb, amd.com/gpu,
	// google.com/tpu or habana.ai/gaudi.
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')",message="spec.resource must be an extended resource: a domain, a slash and a name, such as nvidia.com/gpu"
	// +optional
	Resource string `json:"resource,omitempty"`

	// deviceClass asks for devices by dynamic resource allocation (resource.k8s.io/v1). Pods then get their devices by a
	// ResourceClaimTemplate, which is made for each role that asks.
	// +optional
	DeviceClass *DeviceClass `json:"deviceClass,omitempty"`

	// nodeSelector are the labels of the nodes that have the devices. Pods are placed on these nodes only.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// nodeAffinity are terms of which a node must meet one, beside nodeSelector.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +optional
	NodeAffinity []corev1.NodeSelectorTerm `json:"nodeAffinity,omitempty"`

	// tolerations let pods onto nodes that are kept for such devices by taints.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// runtimeClassName is the runtime class by which containers see the devices, where that is not the default one.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	RuntimeClassName string `json:"runtimeClassName,omitempty"`

	// env are variables of the main container. A variable that the template sets wins.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Env []corev1.EnvVar `json:"env,omitempty"`

	// devicesPerNode is the number of devices of a node, where nodes are made on demand: a request of up to so many waits for a
	// node although none is there. Left out, the largest node there is counts.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	// +optional
	DevicesPerNode int32 `json:"devicesPerNode,omitempty"`

	// topology are the node labels that tell which nodes are near each other in the fabric, from narrow to wide, such as those
	// of an NVLink domain, a rack and a block.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=317
	// +optional
	Topology []string `json:"topology,omitempty"`

	// sharing says how several pods share one device, where they do.
	// +optional
	Sharing *Sharing `json:"sharing,omitempty"`
}

// DeviceClass asks for devices of a class of dynamic resource allocation.
type DeviceClass struct {
	// name of the DeviceClass.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name,omitempty"`

	// selectors are CEL expressions that a device must meet beside those of its class, such as
	// device.attributes["gpu.nvidia.com"].productName == "NVIDIA A100-SXM4-80GB".
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=10240
	// +optional
	Selectors []string `json:"selectors,omitempty"`
}

// SharingMode is how a device is shared.
//
// +kubebuilder:validation:Enum=None;MIG;TimeSlice;MPS
type SharingMode string

// The modes of sharing.
const (
	// SharingNone gives a whole device to one pod.
	SharingNone SharingMode = "None"
	// SharingMIG gives a pod a part of a device that the hardware keeps apart from the others.
	SharingMIG SharingMode = "MIG"
	// SharingTimeSlice lets pods take turns on a device. They share its memory and its faults.
	SharingTimeSlice SharingMode = "TimeSlice"
	// SharingMPS lets the processes of pods run on a device together.
	SharingMPS SharingMode = "MPS"
)

// AcrossProfiles says whether pods of several Profiles may share a device.
//
// +kubebuilder:validation:Enum=Refuse;Allow
type AcrossProfiles string

// The answers.
const (
	// AcrossRefuse keeps the pods of a Profile on nodes of their own.
	AcrossRefuse AcrossProfiles = "Refuse"
	// AcrossAllow lets any pods share.
	AcrossAllow AcrossProfiles = "Allow"
)

// Sharing says how several pods share one device.
//
// +kubebuilder:validation:XValidation:rule="!has(self.replicas) || (has(self.mode) && self.mode in ['TimeSlice', 'MPS'])",fieldPath=".replicas",message="spec.sharing.replicas goes with mode TimeSlice or MPS: set spec.sharing.mode or remove it"
type Sharing struct {
	// mode is how a device is shared: None, MIG, TimeSlice or MPS.
	// +kubebuilder:default=None
	// +optional
	Mode SharingMode `json:"mode,omitempty"`

	// replicas is the number of pods that share a device. It tells people; the device plugin decides.
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=1024
	// +optional
	Replicas int32 `json:"replicas,omitempty"`

	// acrossProfiles says whether pods of several Profiles may share a device in mode TimeSlice or MPS, which do not keep
	// them apart: Refuse or Allow.
	// +kubebuilder:default=Refuse
	// +optional
	AcrossProfiles AcrossProfiles `json:"acrossProfiles,omitempty"`
}
