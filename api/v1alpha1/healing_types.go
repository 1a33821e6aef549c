// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// NodeVerdict is what a job thinks of a node.
//
// +kubebuilder:validation:Enum=Suspect;Bad
type NodeVerdict string

// The verdicts that are recorded; a healthy node is not.
const (
	// NodeSuspect is a node that did something odd, though not often enough to be avoided: it turned pods away, or one of its devices
	// failed, in which case new pods prefer others.
	NodeSuspect NodeVerdict = "Suspect"
	// NodeBad is a node that new pods of the job are kept away from.
	NodeBad NodeVerdict = "Bad"
)

// JudgedNode is a node that pods of the job had to leave, or that turned them away.
type JudgedNode struct {
	// name of the node.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name,omitempty"`

	// verdict is Bad for a node that new pods are kept away from, and Suspect for one that turned pods away once or twice or of which
	// one device failed: new pods prefer other nodes then.
	// +required
	Verdict NodeVerdict `json:"verdict,omitempty"`

	// reason is the kind of evidence in one word, such as NodeCondition or DeviceUnhealthy.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Reason string `json:"reason,omitempty"`

	// evidence is what was seen, in words.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Evidence string `json:"evidence,omitempty"`

	// since is when the verdict was passed.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`

	// until is when the node is forgiven, where the evidence went with the pod that showed it; otherwise it is forgiven when it
	// is healthy again.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`

	// devices are the ids of devices of the node that failed under pods of the job, the first sixteen. One makes the node Suspect, two
	// make it Bad.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +listType=set
	// +optional
	Devices []string `json:"devices,omitempty"`

	// rejections is how often the node turned pods of the job away.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Rejections int32 `json:"rejections,omitempty"`
}
