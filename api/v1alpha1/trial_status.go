// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConditionMetricsAvailable is True when the trial has a value of every objective. The other conditions of a Trial are Accepted,
// Running, Succeeded, which is the root, Reconciling and Stalled. All of them are always present.
const ConditionMetricsAvailable = "MetricsAvailable"

// Phases of a Trial beside those of a TrainingJob.
const (
	PhaseEarlyStopped       = "EarlyStopped"
	PhaseMetricsUnavailable = "MetricsUnavailable"
	PhaseKilled             = "Killed"
)

// Reasons of the conditions of a Trial.
const (
	// ReasonCreatingJob: the job is to be made.
	ReasonCreatingJob = "CreatingJob"
	// ReasonJobPending: the job has not begun.
	ReasonJobPending = "JobPending"
	// ReasonJobQueued: the job is suspended or waits in a queue.
	ReasonJobQueued = "JobQueued"
	// ReasonJobRunning: the job runs.
	ReasonJobRunning = "JobRunning"
	// ReasonJobSucceeded: the job succeeded.
	ReasonJobSucceeded = "JobSucceeded"
	// ReasonJobFailed: the job failed.
	ReasonJobFailed = "JobFailed"
	// ReasonJobDeleted: somebody deleted the job before it ended.
	ReasonJobDeleted = "JobDeleted"
	// ReasonKindNotServed: the cluster does not know the kind of the job.
	ReasonKindNotServed = "KindNotServed"
	// ReasonJobForbidden: the ClusterRole millrace-workloads does not allow the manager the kind of the job.
	ReasonJobForbidden = "JobForbidden"
	// ReasonWaitingForMetrics: the metrics are being read.
	ReasonWaitingForMetrics = "WaitingForMetrics"
	// ReasonMetricsAvailable: there is a value of every objective.
	ReasonMetricsAvailable = "MetricsAvailable"
	// ReasonMetricsUnavailable: the job ended and an objective has no value.
	ReasonMetricsUnavailable = "MetricsUnavailable"
	// ReasonNotANumber: an objective's value is not a finite number.
	ReasonNotANumber = "NotANumber"
	// ReasonEarlyStopped: the trial was stopped because it was not worth its time.
	ReasonEarlyStopped = "EarlyStopped"
	// ReasonKilled: the trial was stopped before its end.
	ReasonKilled = "Killed"
)

// TrialStatus is what has become of a trial.
type TrialStatus struct {
	// conditions are the state of the trial. Succeeded is the one that decides.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:default={{type: Accepted, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Running, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: MetricsAvailable, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Succeeded, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Reconciling, status: "True", reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Stalled, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}}
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of the spec this status speaks of.
	// +kubebuilder:validation:Minimum=0
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// phase sums up the conditions in one word, for people and printer columns; programs read the conditions.
	// +kubebuilder:validation:Enum=Pending;Running;Succeeded;EarlyStopped;MetricsUnavailable;Failed;Killed;Rejected
	// +optional
	Phase string `json:"phase,omitempty"`

	// startTime is when the job was seen to run.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// completionTime is when the job ended, as the job tells it where it does.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// job is what the trial made.
	// +optional
	Job *TrialJob `json:"job,omitempty"`

	// requests are what the pods of the job requested at most at the same time while it ran, of each resource. What Kubernetes gives by
	// claims for devices is not among it.
	// +listType=map
	// +listMapKey=resource
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Requests []ResourceRequest `json:"requests,omitempty"`

	// metrics are what was measured, the objectives first.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=40
	// +optional
	Metrics []MetricValue `json:"metrics,omitempty"`

	// curve are values of the first objective as the training went on; at most 32 points, the last of them always.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Curve []CurvePoint `json:"curve,omitempty"`
}

// TrialJob is the object a trial made.
type TrialJob struct {
	// apiVersion of it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +required
	APIVersion string `json:"apiVersion,omitempty"`

	// kind of it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +required
	Kind string `json:"kind,omitempty"`

	// uid of it, by which one that took its place is known.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +optional
	UID string `json:"uid,omitempty"`
}

// GetConditions returns the conditions of the Trial.
func (t *Trial) GetConditions() []metav1.Condition { return t.Status.Conditions }

// SetConditions replaces the conditions of the Trial.
func (t *Trial) SetConditions(c []metav1.Condition) { t.Status.Conditions = c }

// SetObservedGeneration records the generation the status speaks of.
func (t *Trial) SetObservedGeneration(g int64) { t.Status.ObservedGeneration = g }

// ResourceRequest is how much of a resource is requested.
type ResourceRequest struct {
	// resource is its name, such as nvidia.com/gpu.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Resource string `json:"resource,omitempty"`

	// quantity is how much of it.
	// +required
	Quantity *resource.Quantity `json:"quantity,omitempty"`
}
