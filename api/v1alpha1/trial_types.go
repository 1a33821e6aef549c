// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Trial runs a job once with certain parameters and keeps what was measured. Experiments make them; one can also be made by hand.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=millrace
// +kubebuilder:printcolumn:name="Experiment",type=string,JSONPath=`.spec.experiment`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Job",type=string,JSONPath=`.status.job.kind`
// +kubebuilder:printcolumn:name="Value",type=string,JSONPath=`.status.metrics[0].value`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Why",type=string,JSONPath=`.spec.why`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Succeeded")].message`,priority=1
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$')",message="metadata.name must be a DNS label, because it names the trial's job: at most 63 lower-case letters, digits and '-', starting with a letter, ending with a letter or digit, without dots"
type Trial struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the object's metadata. Its name is the name of the job.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the trial that is wanted.
	// +required
	Spec TrialSpec `json:"spec,omitzero"`
	// status is what has become of it.
	// +kubebuilder:default={}
	// +optional
	Status TrialStatus `json:"status,omitzero"`
}

// TrialList is a list of Trials.
//
// +kubebuilder:object:root=true
type TrialList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []Trial `json:"items"`
}

// TrialSpec is the trial that is wanted. But for stop it cannot change.
//
// +kubebuilder:validation:XValidation:rule="has(self.assignments) == has(oldSelf.assignments) && (!has(self.assignments) || self.assignments == oldSelf.assignments) && self.objectives == oldSelf.objectives",message="spec of a trial cannot change, but for stop: delete the trial and create it again"
type TrialSpec struct {
	// experiment is the name of the Experiment it is part of.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Experiment string `json:"experiment,omitempty"`

	// index of the trial in its experiment, from 1.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1048576
	// +optional
	Index int32 `json:"index,omitempty"`

	// proposal is the place of the trial in the order in which an experiment's trials were proposed, from 1. It is the index, but
	// for trials that take the place of one that somebody deleted.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1048576
	// +optional
	Proposal int32 `json:"proposal,omitempty"`

	// follows are the proposals that had ended, in that order, when this one was made and not yet when the one before it was. The
	// order of all of them is the memory of the search.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2000
	// +kubebuilder:validation:items:Minimum=1
	// +kubebuilder:validation:items:Maximum=1048576
	// +optional
	Follows []int32 `json:"follows,omitempty"`

	// results is how many results were known in all when this one was proposed.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1048576
	// +optional
	Results *int32 `json:"results,omitempty"`

	// assignments are the parameters.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Assignments []Assignment `json:"assignments,omitempty"`

	// labels are what the algorithm notes of the trial, such as its rung or generation.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// parent is the trial from whose checkpoint this one goes on.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Parent string `json:"parent,omitempty"`

	// why says how the parameters came about.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Why string `json:"why,omitempty"`

	// objectives are the metrics the trial must have a value of.
	// +listType=map
	// +listMapKey=metric
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	// +required
	Objectives []Objective `json:"objectives,omitempty"`

	// metrics are further metrics to keep.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Metrics []Metric `json:"metrics,omitempty"`

	// template is the job.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.template cannot change: delete the trial and create it again"
	// +required
	Template TrialTemplate `json:"template,omitzero"`

	// metricsCollector says where the metrics come from.
	// +kubebuilder:default={}
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.metricsCollector cannot change: delete the trial and create it again"
	// +optional
	MetricsCollector MetricsCollector `json:"metricsCollector,omitzero"`

	// stop ends the trial before its job has ended. What was measured until then is kept.
	// +optional
	Stop *TrialStop `json:"stop,omitempty"`
}

// StopReason is why a trial is stopped.
//
// +kubebuilder:validation:Enum=EarlyStopped;Killed
type StopReason string

// The reasons.
const (
	// StopEarly: the trial is not worth its time. What it has reached is a result.
	StopEarly StopReason = "EarlyStopped"
	// StopKilled: somebody, or the end of the experiment, stops it. It has no result.
	StopKilled StopReason = "Killed"
)

// TrialStop says why a trial is stopped.
type TrialStop struct {
	// reason is EarlyStopped or Killed.
	// +required
	Reason StopReason `json:"reason,omitempty"`

	// message says more, for people.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Message string `json:"message,omitempty"`
}
