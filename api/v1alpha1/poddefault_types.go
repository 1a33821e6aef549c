// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PodDefault is what is added to pods of its namespace when they are made: by Millrace to pods of its own, and to any other pod that
// carries the label millrace.dev/poddefaults: "true" by an admission policy. Pods that exist are left alone.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=pd,categories=millrace
// +kubebuilder:printcolumn:name="Priority",type=integer,JSONPath=`.spec.priority`
// +kubebuilder:printcolumn:name="On conflict",type=string,JSONPath=`.spec.conflictPolicy`
// +kubebuilder:printcolumn:name="Workloads",type=integer,JSONPath=`.status.matched`,description="workloads of Millrace whose pods it is for"
// +kubebuilder:printcolumn:name="Conflicts",type=integer,JSONPath=`.status.conflicted`
// +kubebuilder:printcolumn:name="Other pods",type=integer,JSONPath=`.status.otherPods`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Description",type=string,JSONPath=`.spec.description`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name must have at most 63 characters, because pods carry it"
type PodDefault struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is which pods it is for, and what they get.
	// +required
	Spec PodDefaultSpec `json:"spec,omitzero"`
	// status is which workloads it is for.
	// +kubebuilder:default={}
	// +optional
	Status PodDefaultStatus `json:"status,omitzero"`
}

// PodDefaultList is a list of PodDefaults.
//
// +kubebuilder:object:root=true
type PodDefaultList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []PodDefault `json:"items"`
}

// PodDefaultConflictPolicy says what becomes of a pod that has another value than the PodDefault.
//
// +kubebuilder:validation:Enum=Fail;KeepExisting;Override
type PodDefaultConflictPolicy string

// The conflict policies.
const (
	// ConflictFail: no pod is made until the conflict is gone; a workload of Millrace says so in a condition.
	ConflictFail PodDefaultConflictPolicy = "Fail"
	// ConflictKeepExisting lets the pod's own value stand.
	ConflictKeepExisting PodDefaultConflictPolicy = "KeepExisting"
	// ConflictOverride replaces the pod's own value.
	ConflictOverride PodDefaultConflictPolicy = "Override"
)

// PodDefaultSpec is which pods a PodDefault is for, and what they get. A change is for pods that are made later.
type PodDefaultSpec struct {
	// selector are labels of the pods it is for; an empty one is for every pod.
	// +required
	Selector metav1.LabelSelector `json:"selector,omitzero"`

	// description is for people who choose among PodDefaults.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Description string `json:"description,omitempty"`

	// priority is the order in which PodDefaults are applied to a pod: the highest first, those of the same by name.
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=-1000000
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	Priority *int32 `json:"priority,omitempty"`

	// conflictPolicy says what becomes of a pod that has another value, its own or that of a PodDefault that was applied before.
	// +kubebuilder:default=Fail
	// +optional
	ConflictPolicy PodDefaultConflictPolicy `json:"conflictPolicy,omitempty"`

	// labels of the pod.
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('millrace.dev/') && k != 'app.kubernetes.io/managed-by')",message="labels of millrace.dev/, and app.kubernetes.io/managed-by, are what Millrace finds pods by: remove them"
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// annotations of the pod.
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('millrace.dev/'))",message="annotations of millrace.dev/ are Millrace's own: remove them"
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`

	// env are variables of every container but init containers.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=128
	// +optional
	Env []corev1.EnvVar `json:"env,omitempty"`

	// envFrom are sources of variables of the same containers. They come first: what a container has itself wins.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +optional
	EnvFrom []corev1.EnvFromSource `json:"envFrom,omitempty"`

	// volumes of the pod.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self.all(v, !v.name.startsWith('millrace-'))",message="names of volumes that begin with millrace- are Millrace's own: rename them"
	// +optional
	Volumes []corev1.Volume `json:"volumes,omitempty"`

	// volumeMounts are mounts of every container but init containers.
	// +listType=map
	// +listMapKey=mountPath
	// +kubebuilder:validation:MaxItems=32
	// +optional
	VolumeMounts []corev1.VolumeMount `json:"volumeMounts,omitempty"`

	// tolerations of the pod.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// nodeSelector of the pod.
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// resources are requests and limits of the pod's main container: the one of the framework, or else the first.
	// +optional
	Resources *PodDefaultResources `json:"resources,omitempty"`

	// serviceAccountName of the pod.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// imagePullSecrets of the pod.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	// +optional
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`

	// initContainers run before the pod's own.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	// +optional
	InitContainers []corev1.Container `json:"initContainers,omitempty"`

	// sidecars run beside the pod's containers and end with them: they become init containers that are restarted always.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Sidecars []corev1.Container `json:"sidecars,omitempty"`
}

// PodDefaultResources are requests and limits of a container.
type PodDefaultResources struct {
	// requests are what the container is given at least.
	// +optional
	Requests corev1.ResourceList `json:"requests,omitempty"`
	// limits are what it may use at most.
	// +optional
	Limits corev1.ResourceList `json:"limits,omitempty"`
}
