// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Reasons of the conditions of a job that is a gang. They are the same whichever scheduler places it.
const (
	// ReasonGangUnsupported: the scheduler of the gang cannot do what the job asks of it.
	ReasonGangUnsupported = "GangUnsupported"
	// ReasonGangWaiting: no pod is made before the scheduler of the gang is there and takes the group in.
	ReasonGangWaiting = "GangWaiting"
	// ReasonGangUnschedulable: the minimum of pods cannot be placed together now.
	ReasonGangUnschedulable = "GangUnschedulable"
	// ReasonGangReleased: the placed pods were released because the rest found no place in time, and the job tries again later.
	ReasonGangReleased = "GangReleased"
)

// Scheduling says where the pods of a job may run and what must be placed together.
type Scheduling struct {
	// gang asks for all or nothing: the minimum of pods is placed together or not at all.
	// +optional
	Gang *Gang `json:"gang,omitempty"`

	// queue is the LocalQueue of Kueue, in the job's namespace, that the job waits in: its pods are made when Kueue admits it, and go
	// when Kueue evicts it. Without Kueue it waits. With gang.scheduler Volcano or KAI it is a queue of that scheduler's instead.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +optional
	Queue string `json:"queue,omitempty"`

	// priorityClassName is the PriorityClass of every pod whose template names none, and of the gang.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// topology keeps the pods of the job close together.
	// +optional
	Topology *Topology `json:"topology,omitempty"`
}

// GangScheduler is what places a gang.
//
// +kubebuilder:validation:Enum=Auto;Native;Volcano;KAI;Coscheduling;Guard;Kueue
type GangScheduler string

// What places gangs.
const (
	// GangAuto is the first that the cluster has and that can do what the job asks: Native, Volcano, KAI, Coscheduling, Guard.
	GangAuto GangScheduler = "Auto"
	// GangNative is the scheduler of Kubernetes, by a PodGroup of scheduling.k8s.io.
	GangNative GangScheduler = "Native"
	// GangVolcano is Volcano, by a PodGroup of scheduling.volcano.sh.
	GangVolcano GangScheduler = "Volcano"
	// GangKAI is KAI, by a PodGroup of scheduling.run.ai.
	GangKAI GangScheduler = "KAI"
	// GangCoscheduling is the plug-in Coscheduling, by a PodGroup of scheduling.x-k8s.io.
	GangCoscheduling GangScheduler = "Coscheduling"
	// GangGuard is Millrace itself: pods that are placed without the rest are released in time.
	GangGuard GangScheduler = "Guard"
	// GangKueue is Kueue, which admits a job whole.
	GangKueue GangScheduler = "Kueue"
)

// Gang asks for all or nothing.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minMember) || !has(self.roles)",fieldPath=".minMember",message="spec.scheduling.gang.minMember is the sum of the roles' minimums when there are roles: remove one of the two"
type Gang struct {
	// minMember is the number of pods that must be placed together. When left out it is all pods that are made at the start: of
	// an elastic job minReplicas of its workers, of an MPI job all but a launcher that waits for its workers.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=80000
	// +optional
	MinMember *int32 `json:"minMember,omitempty"`

	// timeoutSeconds is how long placed pods may wait for the rest of the minimum where the scheduler counts it: Guard
	// and Coscheduling. The others place no part of a gang. Unit: seconds.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	// +kubebuilder:default=300
	// +optional
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`

	// scheduler is what places the gang: Native (Kubernetes' own PodGroup), Volcano, KAI, Coscheduling, Guard (built in, needs no
	// scheduler) or Kueue. Auto leaves it to the manager: what its configuration says, or else the first of Native, Volcano,
	// KAI, Coscheduling and Guard that the cluster has and that can do what the job asks.
	// +kubebuilder:default=Auto
	// +optional
	Scheduler GangScheduler `json:"scheduler,omitempty"`

	// roles are minimums of single roles, for Volcano, KAI and Guard. A role that is not listed is needed whole.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Roles []GangRole `json:"roles,omitempty"`
}

// GangRole is the minimum of a role.
type GangRole struct {
	// name of the role.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +required
	Name string `json:"name,omitempty"`

	// minMember is the number of the role's pods that must be placed together with the rest.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	// +required
	MinMember int32 `json:"minMember,omitempty"`
}

// TopologyMode says whether pods must be close together.
//
// +kubebuilder:validation:Enum=Required;Preferred
type TopologyMode string

// The modes of a topology.
const (
	// TopologyRequired places no pod elsewhere.
	TopologyRequired TopologyMode = "Required"
	// TopologyPreferred places pods elsewhere when there is no room.
	TopologyPreferred TopologyMode = "Preferred"
)

// Topology keeps pods close together.
type Topology struct {
	// key is the node label whose value the pods' nodes share, such as topology.kubernetes.io/zone.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')",message="spec.scheduling.topology.key is the key of a label of nodes, such as topology.kubernetes.io/zone"
	// +required
	Key string `json:"key,omitempty"`

	// mode says whether that is Required or Preferred.
	// +kubebuilder:default=Preferred
	// +optional
	Mode TopologyMode `json:"mode,omitempty"`
}

// GangStatus is what has become of a gang.
type GangStatus struct {
	// scheduler is what places the gang.
	// +optional
	Scheduler GangScheduler `json:"scheduler,omitempty"`

	// group is the name of the object that stands for the gang, where its scheduler has one.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Group string `json:"group,omitempty"`

	// minMember is the number of pods that must be placed together.
	// +kubebuilder:validation:Minimum=0
	// +optional
	MinMember int32 `json:"minMember,omitempty"`

	// placed is the number of pods that have a node.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Placed int32 `json:"placed,omitempty"`

	// releases is how often placed pods were released because the rest found no place in time. It is part of the attempt that
	// pods carry as a label, and not charged to the restart budget.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Releases int32 `json:"releases,omitempty"`

	// nextTry is when pods are made again after the last release.
	// +optional
	NextTry *metav1.Time `json:"nextTry,omitempty"`

	// short says what was short at the last release.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Short string `json:"short,omitempty"`
}
