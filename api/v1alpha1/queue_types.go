// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// States of a job in its queue.
const (
	// QueueUnavailable: Kueue is not installed in the cluster.
	QueueUnavailable = "Unavailable"
	// QueuePending: the job waits for quota.
	QueuePending = "Pending"
	// QueueReserved: the job has quota and waits for admission checks.
	QueueReserved = "Reserved"
	// QueueAdmitted: the job's pods may run.
	QueueAdmitted = "Admitted"
	// QueueEvicted: the job has to give its quota back.
	QueueEvicted = "Evicted"
	// QueueFinished: the job has finished, and its quota is free.
	QueueFinished = "Finished"
)

// QueueStatus is how a job stands in its queue.
type QueueStatus struct {
	// name of the queue: a LocalQueue of Kueue in the job's namespace.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +required
	Name string `json:"name,omitempty"`

	// state of the job in the queue.
	// +kubebuilder:validation:Enum=Unavailable;Pending;Reserved;Admitted;Evicted;Finished
	// +optional
	State string `json:"state,omitempty"`

	// position of the job in its LocalQueue while it waits, from 1: by priority, and then by time, among the Workloads of every kind. It is
	// exact up to 10, and rounded up to 20, 50, 100, 200 and so on beyond; it is looked at every minute, and less often further back.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	// +optional
	Position *int32 `json:"position,omitempty"`

	// workload is the name of the Kueue Workload that stands for the job; its status has every detail.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Workload string `json:"workload,omitempty"`

	// clusterQueue is the ClusterQueue that the job's quota is reserved in.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ClusterQueue string `json:"clusterQueue,omitempty"`

	// admittedReplicas is how many workers of an elastic job were admitted. It stays while there are pods of them.
	// +kubebuilder:validation:Minimum=0
	// +optional
	AdmittedReplicas *int32 `json:"admittedReplicas,omitempty"`

	// evictions is how often Kueue evicted the job since its Workload was made.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Evictions int32 `json:"evictions,omitempty"`

	// evictedReason is Kueue's reason of the last eviction, such as Preempted.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	EvictedReason string `json:"evictedReason,omitempty"`
}
