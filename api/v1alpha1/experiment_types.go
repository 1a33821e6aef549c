// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Experiment searches for the parameters with which a job does best: it makes Trials, each of which runs the job once with parameters
// that an algorithm proposes from what the earlier ones have shown.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=exp,categories=millrace
// +kubebuilder:printcolumn:name="Algorithm",type=string,JSONPath=`.spec.algorithm.name`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Running",type=integer,JSONPath=`.status.trials.running`
// +kubebuilder:printcolumn:name="Succeeded",type=integer,JSONPath=`.status.trials.succeeded`
// +kubebuilder:printcolumn:name="Failed",type=integer,JSONPath=`.status.trials.failed`
// +kubebuilder:printcolumn:name="Best",type=string,JSONPath=`.status.best.metrics[0].value`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Trial",type=string,JSONPath=`.status.best.trial`,description="the best trial",priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Succeeded")].message`,priority=1
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')",message="metadata.name must be a DNS label of at most 40 characters, because it begins the names of trials and their pods: lower-case letters, digits and '-', starting with a letter, ending with a letter or digit, without dots"
type Experiment struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the object's metadata. Its name begins the names of its Trials.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the search that is wanted.
	// +required
	Spec ExperimentSpec `json:"spec,omitzero"`
	// status is what has become of it.
	// +kubebuilder:default={}
	// +optional
	Status ExperimentStatus `json:"status,omitzero"`
}

// ExperimentList is a list of Experiments.
//
// +kubebuilder:object:root=true
type ExperimentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []Experiment `json:"items"`
}

// AtEnd says what becomes of the trials that run when the experiment has come to its end.
//
// +kubebuilder:validation:Enum=Stop;Finish
type AtEnd string

// The answers.
const (
	// AtEndStop stops them.
	AtEndStop AtEnd = "Stop"
	// AtEndFinish lets them run to their own end, and counts them.
	AtEndFinish AtEnd = "Finish"
)

// ResumePolicy says whether an experiment that has used its budget up goes on when the budget is raised.
//
// +kubebuilder:validation:Enum=WhenRaised;Never
type ResumePolicy string

// The answers.
const (
	// ResumeWhenRaised goes on when spec.maxTrials, spec.maxDurationSeconds or a spec.budget is raised.
	ResumeWhenRaised ResumePolicy = "WhenRaised"
	// ResumeNever leaves a finished experiment finished.
	ResumeNever ResumePolicy = "Never"
)

// ExperimentSpec is the search that is wanted. What may change while it runs are parallelTrials, maxTrials, maxFailedTrials,
// maxDurationSeconds, budget, suspend, atEnd, resume and trialHistoryLimit.
//
// +kubebuilder:validation:XValidation:rule="!has(self.maxTrials) || !has(self.maxFailedTrials) || self.maxFailedTrials <= self.maxTrials",fieldPath=".maxFailedTrials",message="spec.maxFailedTrials is at most spec.maxTrials"
// +kubebuilder:validation:XValidation:rule="has(self.earlyStopping) == has(oldSelf.earlyStopping) && has(self.constraints) == has(oldSelf.constraints) && has(self.metrics) == has(oldSelf.metrics) && has(self.seed) == has(oldSelf.seed) && has(self.warmStart) == has(oldSelf.warmStart)",message="spec: earlyStopping, constraints, metrics, seed and warmStart cannot be added to or removed from an experiment: delete it and create it again"
type ExperimentSpec struct {
	// objectives are the metrics to find the best of; with several of them the best trials are those that no other beats in all.
	// +listType=map
	// +listMapKey=metric
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.objectives cannot change: delete the experiment and create it again"
	// +required
	Objectives []Objective `json:"objectives,omitempty"`

	// metrics are further metrics to keep of each trial.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.metrics cannot change: delete the experiment and create it again"
	// +optional
	Metrics []Metric `json:"metrics,omitempty"`

	// algorithm chooses the parameters of the next trials.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.algorithm cannot change: delete the experiment and create it again"
	// +required
	Algorithm Algorithm `json:"algorithm,omitzero"`

	// earlyStopping stops trials that are not worth their time.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.earlyStopping cannot change: delete the experiment and create it again"
	// +optional
	EarlyStopping *EarlyStopping `json:"earlyStopping,omitempty"`

	// parallelTrials is how many trials there are at once. Lowering it stops none: the next begins when enough have ended.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +kubebuilder:default=3
	// +optional
	ParallelTrials int32 `json:"parallelTrials,omitempty"`

	// maxTrials is how many trials there are in all; without it the search ends at its goal, or when there is nothing left to try.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	MaxTrials int32 `json:"maxTrials,omitempty"`

	// maxFailedTrials is how many trials may fail, or end without a value of the objectives, before the experiment fails: at 0 the
	// first one is the end. Without it there is no limit.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	MaxFailedTrials *int32 `json:"maxFailedTrials,omitempty"`

	// maxDurationSeconds is how long the experiment may take from its start. Unit: seconds.
	// +kubebuilder:validation:Minimum=1
	// +optional
	MaxDurationSeconds int32 `json:"maxDurationSeconds,omitempty"`

	// budget is how much all trials together may use of what their pods request. When one of it is used up the experiment ends, as at
	// its maxDurationSeconds.
	// +listType=map
	// +listMapKey=resource
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Budget []ResourceHours `json:"budget,omitempty"`

	// suspend makes no further trials while it is true; those that run go on.
	// +kubebuilder:default=false
	// +optional
	Suspend *bool `json:"suspend,omitempty"`

	// atEnd says what becomes of running trials when the experiment has come to its end: Stop or Finish.
	// +kubebuilder:default=Stop
	// +optional
	AtEnd AtEnd `json:"atEnd,omitempty"`

	// resume says whether an experiment that has used up its budget goes on when the budget is raised: WhenRaised or Never.
	// +kubebuilder:default=WhenRaised
	// +optional
	Resume ResumePolicy `json:"resume,omitempty"`

	// parameters are what is searched.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.parameters cannot change: delete the experiment and create it again"
	// +kubebuilder:validation:XValidation:rule="[self.map(p, p.name)].all(names, self.all(p, !has(p.when) || (p.when.parameter in names && p.when.parameter != p.name)))",message="spec.parameters[].when.parameter must be the name of another parameter"
	// +required
	Parameters []Parameter `json:"parameters,omitempty"`

	// constraints are what parameters of a trial must meet together.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.constraints cannot change: delete the experiment and create it again"
	// +optional
	Constraints []Constraint `json:"constraints,omitempty"`

	// seed of all that is random in the search. Where it is left out it follows from the namespace and the name, so that the
	// same experiment is the same again.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.seed cannot change: delete the experiment and create it again"
	// +optional
	Seed *int64 `json:"seed,omitempty"`

	// warmStart is what is known before the first trial.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.warmStart cannot change: delete the experiment and create it again"
	// +optional
	WarmStart *WarmStart `json:"warmStart,omitempty"`

	// trialTemplate is the job that each trial runs.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.trialTemplate cannot change, because trials of different jobs cannot be compared: delete the experiment and create it again"
	// +required
	TrialTemplate TrialTemplate `json:"trialTemplate,omitzero"`

	// metricsCollector says where the metrics come from.
	// +kubebuilder:default={}
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.metricsCollector cannot change: delete the experiment and create it again"
	// +optional
	MetricsCollector MetricsCollector `json:"metricsCollector,omitzero"`

	// trialHistoryLimit is how many finished Trials stay as objects. What the search needs of older ones is written into ConfigMaps, and
	// the Trials are deleted, with their jobs, some at a time.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=5000
	// +kubebuilder:default=1000
	// +optional
	TrialHistoryLimit *int32 `json:"trialHistoryLimit,omitempty"`
}

// ResourceTrials is the resource of a budget that is of the trials themselves: one for each that runs.
const ResourceTrials = "trials"

// ResourceHours is an amount of a resource over time.
type ResourceHours struct {
	// resource is what pods request, such as nvidia.com/gpu, cpu or memory, or trials for the time of the trials themselves.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')",message="resource must be the name of a resource as pods request it, such as nvidia.com/gpu, cpu or memory, or trials"
	// +required
	Resource string `json:"resource,omitempty"`

	// hours of one of it: of one device, one core, one GiB where it is counted in bytes, one trial. A decimal number.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]{1,12}([.][0-9]{1,3})?$')",message="hours must be a decimal number without a sign and with at most three digits behind the point, such as \"40\" or \"0.5\""
	// +required
	Hours string `json:"hours,omitempty"`
}

// WarmStart is what is known before the first trial. It is evidence for the algorithm, and no part of any count.
//
// +kubebuilder:validation:MinProperties=1
type WarmStart struct {
	// experiments are the names of experiments of the same namespace whose trials are used as far as their parameters and
	// objectives are those of this one.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +optional
	Experiments []string `json:"experiments,omitempty"`

	// points are results by themselves.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Points []KnownPoint `json:"points,omitempty"`
}

// KnownPoint is a result that is known.
type KnownPoint struct {
	// assignments are the parameters.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +required
	Assignments []Assignment `json:"assignments,omitempty"`

	// values of the objectives.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	// +required
	Values []MetricValue `json:"values,omitempty"`
}
