// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Conditions of a Profile, beside Ready, which is the root, Reconciling and Stalled. All of them are always present.
const (
	// ConditionNamespaceReady is True when the namespace is there and the Profile's.
	ConditionNamespaceReady = "NamespaceReady"
	// ConditionAccessGranted is True when the owner and the members have what their roles say, and nobody has more by the Profile.
	ConditionAccessGranted = "AccessGranted"
	// ConditionLimited is True when the quota and the limits are what the spec says.
	ConditionLimited = "Limited"
	// ConditionIsolated is True when network policies keep other namespaces away.
	ConditionIsolated = "Isolated"
	// ConditionMeshAuthorized is True when the mesh lets in by role.
	ConditionMeshAuthorized = "MeshAuthorized"
	// ConditionSecretsReady is True when the Secrets of the spec were made.
	ConditionSecretsReady = "SecretsReady"
)

// Reasons of the conditions of a Profile, beside NameTaken, Refused and QuotaExceeded, which it shares with TrainingJob.
const (
	// ReasonApplied: it is as the spec says.
	ReasonApplied = "Applied"
	// ReasonApplying: it is being made.
	ReasonApplying = "Applying"
	// ReasonNotWanted: the spec does not ask for it.
	ReasonNotWanted = "NotWanted"
	// ReasonNamespaceTerminating: the namespace, or an earlier one of the name, is on its way out.
	ReasonNamespaceTerminating = "NamespaceTerminating"
	// ReasonNotAdoptable: the namespace was there before, and its owner has not agreed to hand it over.
	ReasonNotAdoptable = "NotAdoptable"
	// ReasonNamespaceNotWatched: the manager's configuration names the namespaces it watches, and not this one.
	ReasonNamespaceNotWatched = "NamespaceNotWatched"
	// ReasonWaitingForNamespace: it is made when the namespace is.
	ReasonWaitingForNamespace = "WaitingForNamespace"
	// ReasonMeshNotServed: the cluster serves no authorization policies of Istio.
	ReasonMeshNotServed = "MeshNotServed"
)

// ProfileStatus is what has become of a Profile.
type ProfileStatus struct {
	// conditions are the state of the Profile. Ready is the one that decides.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:default={{type: Ready, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: NamespaceReady, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: AccessGranted, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Limited, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Isolated, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: MeshAuthorized, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: SecretsReady, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Reconciling, status: "True", reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Stalled, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}}
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of the spec this status speaks of.
	// +kubebuilder:validation:Minimum=0
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// namespace is the namespace of the Profile, once it is there.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// members is the number of members whose time is not over, without the owner.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Members *int32 `json:"members,omitempty"`

	// expired are members whose time is over, as kind/name. They can be removed from the spec.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=500
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=400
	// +optional
	Expired []string `json:"expired,omitempty"`
}

// GetConditions implements the engine's Owner.
func (p *Profile) GetConditions() []metav1.Condition { return p.Status.Conditions }

// SetConditions implements the engine's Owner.
func (p *Profile) SetConditions(c []metav1.Condition) { p.Status.Conditions = c }

// SetObservedGeneration implements the engine's Owner.
func (p *Profile) SetObservedGeneration(g int64) { p.Status.ObservedGeneration = g }
