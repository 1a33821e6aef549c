// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kueue speaks Kueue's API without its Go module: the Workload by which a job waits for quota, and what Kueue says of it.
// It is pure, and its objects are unstructured, because Kueue is optional.
//
// A Workload is owned by the job it stands for. Kueue reserves quota for it, which is the condition QuotaReserved, asks its
// admission checks, and sets Admitted: then the job's pods may run, where status.admission says. To take the quota back Kueue
// sets Evicted and waits: the owner stops the pods and then withdraws the reservation itself, as Release does. Kueue reserves
// anew from there. At its end the owner sets Finished.
package kueue

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group and Version are of the API that is spoken.
const (
	Group   = "kueue.x-k8s.io"
	Version = "v1beta2"
)

// The kinds that are read and written.
var (
	WorkloadKind = schema.GroupVersionKind{Group: Group, Version: Version, Kind: "Workload"}
	FlavorKind   = schema.GroupVersionKind{Group: Group, Version: Version, Kind: "ResourceFlavor"}
	PriorityKind = schema.GroupVersionKind{Group: Group, Version: Version, Kind: "WorkloadPriorityClass"}
)

// Labels and annotations of Kueue.
const (
	// PriorityLabel names the WorkloadPriorityClass of a job.
	PriorityLabel = Group + "/priority-class"
	// QueueLabel names the queue of jobs that have no field for it.
	QueueLabel = Group + "/queue-name"
	// PrebuiltLabel of a job names the Workload that somebody else made for it, and OriginLabel is on what MultiKueue copied.
	PrebuiltLabel = Group + "/prebuilt-workload-name"
	OriginLabel   = Group + "/multikueue-origin"
	// OwnerLabel of a Workload is the UID of its job: Kueue names it when the Workload preempts another.
	OwnerLabel = Group + "/job-uid"
	// WorkloadAnnotation of a pod is the name of its Workload, and one of the others says that the pod was placed in a topology:
	// Kueue must not count it a second time.
	WorkloadAnnotation      = Group + "/workload"
	requiredAnnotation      = Group + "/podset-required-topology"
	preferredAnnotation     = Group + "/podset-preferred-topology"
	unconstrainedAnnotation = Group + "/podset-unconstrained-topology"
)

// MultiKueue is who manages a job that is to run in another cluster.
const MultiKueue = Group + "/multikueue"

// Conditions of a Workload, and reasons of ours in them.
const (
	QuotaReserved = "QuotaReserved"
	Admitted      = "Admitted"
	Evicted       = "Evicted"
	Requeued      = "Requeued"
	PodsReady     = "PodsReady"
	Finished      = "Finished"

	preempted    = "Preempted"
	nodeFailures = "NodeFailures"
	outOfSync    = "OutOfSync"
	ready        = "Ready"

	// ByCheck is the reason of an eviction that an admission check demands, such as MultiKueue's for a cluster that is lost.
	ByCheck = "AdmissionCheck"
)

// Workload is what is read of a Workload, and written of a new one.
type Workload struct {
	metav1.ObjectMeta `json:"metadata"`

	Spec   Spec   `json:"spec"`
	Status Status `json:"status,omitzero"`
}

// Spec is what a job asks for.
type Spec struct {
	// Active is false when somebody took the Workload out of its queue.
	Active           *bool             `json:"active,omitempty"`
	QueueName        string            `json:"queueName,omitempty"`
	PodSets          []PodSet          `json:"podSets"`
	PriorityClassRef *PriorityClassRef `json:"priorityClassRef,omitempty"`
	Priority         *int32            `json:"priority,omitempty"`
}

// PodSet is a number of equal pods.
type PodSet struct {
	Name     string                  `json:"name"`
	Template *corev1.PodTemplateSpec `json:"template,omitempty"`
	Count    int32                   `json:"count"`
	// MinCount is the least that may be admitted instead; one PodSet of a Workload may have it.
	MinCount        *int32           `json:"minCount,omitempty"`
	TopologyRequest *TopologyRequest `json:"topologyRequest,omitempty"`
}

// TopologyRequest asks for nodes that are close together.
type TopologyRequest struct {
	Required        *string `json:"required,omitempty"`
	Preferred       *string `json:"preferred,omitempty"`
	PodIndexLabel   *string `json:"podIndexLabel,omitempty"`
	PodSetGroupName *string `json:"podSetGroupName,omitempty"`
}

// PriorityClassRef says where a priority comes from.
type PriorityClassRef struct {
	Group string `json:"group"`
	Kind  string `json:"kind"`
	Name  string `json:"name"`
}

// Status is what Kueue says.
type Status struct {
	Conditions                          []metav1.Condition `json:"conditions,omitempty"`
	Admission                           *Admission         `json:"admission,omitempty"`
	AdmissionChecks                     []Check            `json:"admissionChecks,omitempty"`
	AccumulatedPastExecutionTimeSeconds *int32             `json:"accumulatedPastExecutionTimeSeconds,omitempty"`
	SchedulingStats                     Stats              `json:"schedulingStats,omitzero"`
	// ClusterName is the cluster that MultiKueue gave the Workload to.
	ClusterName *string `json:"clusterName,omitempty"`
}

// Admission is where the quota was reserved.
type Admission struct {
	ClusterQueue      string       `json:"clusterQueue"`
	PodSetAssignments []Assignment `json:"podSetAssignments,omitempty"`
}

// Assignment is what a PodSet was given.
type Assignment struct {
	Name string `json:"name"`
	// Flavors are names of ResourceFlavors by resource.
	Flavors map[string]string `json:"flavors,omitempty"`
	Count   *int32            `json:"count,omitempty"`
	// TopologyAssignment is where the pods go, in the order of their indexes.
	TopologyAssignment *TopologyAssignment `json:"topologyAssignment,omitempty"`
}

// TopologyAssignment is a list of domains, each named by a value for each level, packed in slices.
type TopologyAssignment struct {
	Levels []string `json:"levels"`
	Slices []Slice  `json:"slices"`
}

// Slice is a number of domains.
type Slice struct {
	DomainCount    int32    `json:"domainCount"`
	ValuesPerLevel []Values `json:"valuesPerLevel"`
	PodCounts      Counts   `json:"podCounts"`
}

// Values are the names of a slice's domains at one level: one name, or one for each.
type Values struct {
	Universal  *string `json:"universal,omitempty"`
	Individual *struct {
		Prefix string   `json:"prefix,omitempty"`
		Suffix string   `json:"suffix,omitempty"`
		Roots  []string `json:"roots"`
	} `json:"individual,omitempty"`
}

// Counts are the numbers of pods in a slice's domains: one number, or one for each.
type Counts struct {
	Universal  *int32  `json:"universal,omitempty"`
	Individual []int32 `json:"individual,omitempty"`
}

// Check is an admission check and what it wants of the pods.
type Check struct {
	Name          string   `json:"name"`
	State         string   `json:"state"`
	Message       string   `json:"message,omitempty"`
	PodSetUpdates []Update `json:"podSetUpdates,omitempty"`
}

// Update is what the pods of a PodSet must carry.
type Update struct {
	Name         string              `json:"name"`
	Labels       map[string]string   `json:"labels,omitempty"`
	Annotations  map[string]string   `json:"annotations,omitempty"`
	NodeSelector map[string]string   `json:"nodeSelector,omitempty"`
	Tolerations  []corev1.Toleration `json:"tolerations,omitempty"`
}

// Stats count evictions by reason.
type Stats struct {
	Evictions []struct {
		Reason string `json:"reason"`
		Count  int32  `json:"count"`
	} `json:"evictions,omitempty"`
}

// Flavor is what is read of a ResourceFlavor.
type Flavor struct {
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		NodeLabels   map[string]string   `json:"nodeLabels,omitempty"`
		Tolerations  []corev1.Toleration `json:"tolerations,omitempty"`
		TopologyName string              `json:"topologyName,omitempty"`
	} `json:"spec"`
}

// Priority is that of a Workload and where it comes from.
type Priority struct {
	Class *PriorityClassRef `json:"class,omitempty"`
	Value int32             `json:"value"`
}

// World is what of Kueue concerns one job.
type World struct {
	// Workload is the job's own; nil when there is none.
	Workload *Workload `json:"workload,omitempty"`
	// Prebuilt was made for the job by somebody else, and does not belong to it yet.
	Prebuilt *Workload `json:"prebuilt,omitempty"`
	// Ahead is how many stand before the Workload in its LocalQueue; nil when it does not wait there.
	Ahead *int `json:"ahead,omitempty"`
	// Flavors are those that the Workload was given, of those that exist.
	Flavors []Flavor `json:"flavors,omitempty"`
	// Priority is the job's; nil when no class gives one.
	Priority *Priority `json:"priority,omitempty"`
	// NoClass is a priority class that the job names and that does not exist.
	NoClass string `json:"noClass,omitempty"`
}
