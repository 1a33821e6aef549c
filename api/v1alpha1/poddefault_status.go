// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Conditions of a PodDefault, beside Ready, which is the root, Reconciling and Stalled. All of them are always present.
const (
	// ConditionConflictFree is False when workloads that it is for cannot have it, and make no pods therefore.
	ConditionConflictFree = "ConflictFree"
	// ConditionAdmission is True when pods that are not Millrace's get it too, if they ask for it by label.
	ConditionAdmission = "Admission"
)

// Reasons of the conditions of a PodDefault, beside InvalidSelector, which it shares with Accelerator.
const (
	// ReasonInUse: new pods get it.
	ReasonInUse = "InUse"
	// ReasonNoConflicts: no workload contradicts it.
	ReasonNoConflicts = "NoConflicts"
	// ReasonConflicts: workloads contradict it.
	ReasonConflicts = "Conflicts"
	// ReasonPolicyInstalled: the admission policy is there.
	ReasonPolicyInstalled = "PolicyInstalled"
	// ReasonPolicyNotInstalled: the cluster could have the admission policy, and has not.
	ReasonPolicyNotInstalled = "PolicyNotInstalled"
	// ReasonPolicyNotServed: the cluster does not serve mutating admission policies.
	ReasonPolicyNotServed = "PolicyNotServed"
)

// PodDefaultStatus is which workloads a PodDefault is for.
type PodDefaultStatus struct {
	// conditions are the state of the PodDefault. Ready is the one that decides.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:default={{type: Ready, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: ConflictFree, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Admission, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Reconciling, status: "True", reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Stalled, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}}
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of the spec this status speaks of.
	// +kubebuilder:validation:Minimum=0
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// workloads are those of Millrace that have not ended and whose new pods it is for: those in conflict first, then by kind and
	// name, at most 50.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	// +optional
	Workloads []MatchedWorkload `json:"workloads,omitempty"`

	// matched is the number of all such workloads.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Matched *int32 `json:"matched,omitempty"`

	// conflicted is the number of those that contradict it.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Conflicted *int32 `json:"conflicted,omitempty"`

	// otherPods is the number of pods of others that ask for PodDefaults and have the labels. It may lag by some seconds.
	// +kubebuilder:validation:Minimum=0
	// +optional
	OtherPods *int32 `json:"otherPods,omitempty"`
}

// MatchedWorkload is a workload whose new pods a PodDefault is for.
type MatchedWorkload struct {
	// kind and name of the workload.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +required
	Kind string `json:"kind,omitempty"`
	// name of the workload.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name,omitempty"`
	// conflict says where the workload contradicts the PodDefault, if it does.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Conflict string `json:"conflict,omitempty"`
}

// GetConditions returns the conditions of the PodDefault.
func (d *PodDefault) GetConditions() []metav1.Condition { return d.Status.Conditions }

// SetConditions replaces the conditions of the PodDefault.
func (d *PodDefault) SetConditions(conditions []metav1.Condition) { d.Status.Conditions = conditions }

// SetObservedGeneration records the generation the status speaks of.
func (d *PodDefault) SetObservedGeneration(generation int64) {
	d.Status.ObservedGeneration = generation
}
