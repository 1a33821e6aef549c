// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Conditions of an Experiment are Accepted, Running, Succeeded, which is the root, Reconciling and Stalled. All of them are always
// present.

// Reasons of the conditions of an Experiment, a Suggestion and a Trial.
const (
	// ReasonInvalidSearch: the search space, the algorithm or its settings contradict themselves.
	ReasonInvalidSearch = "InvalidSearch"
	// ReasonInvalidTemplate: the template does not make a job.
	ReasonInvalidTemplate = "InvalidTemplate"
	// ReasonTemplateNotFound: the ConfigMap of a job's template, or the key in it, is not there; or the Secret that a Profile's is made from.
	ReasonTemplateNotFound = "TemplateNotFound"
	// ReasonKindRefused: the template is of a kind that trials never make.
	ReasonKindRefused = "KindRefused"
	// ReasonSearching: proposals are being worked out.
	ReasonSearching = "Searching"
	// ReasonTrialsRunning: trials run.
	ReasonTrialsRunning = "TrialsRunning"
	// ReasonTrialsWaiting: trials are there and none runs.
	ReasonTrialsWaiting = "TrialsWaiting"
	// ReasonGoalReached: a trial has reached the goal.
	ReasonGoalReached = "GoalReached"
	// ReasonMaxTrialsReached: as many trials as spec.maxTrials have ended.
	ReasonMaxTrialsReached = "MaxTrialsReached"
	// ReasonSearchExhausted: there is nothing left to try.
	ReasonSearchExhausted = "SearchExhausted"
	// ReasonMaxDurationReached: the experiment took as long as spec.maxDurationSeconds allows.
	ReasonMaxDurationReached = "MaxDurationReached"
	// ReasonBudgetUsedUp: the trials used as much of a resource as spec.budget allows.
	ReasonBudgetUsedUp = "BudgetUsedUp"
	// ReasonMaxFailedTrialsReached: more trials failed than spec.maxFailedTrials allows.
	ReasonMaxFailedTrialsReached = "MaxFailedTrialsReached"
	// ReasonNoTrialSucceeded: the experiment came to its end, and no trial had a value.
	ReasonNoTrialSucceeded = "NoTrialSucceeded"
	// ReasonProposed: there are as many proposals as were asked for.
	ReasonProposed = "Proposed"
	// ReasonWaitingForResults: the algorithm waits for results before it proposes more.
	ReasonWaitingForResults = "WaitingForResults"
)

// ExperimentStatus is what has become of an experiment. It stays small however many trials there are.
type ExperimentStatus struct {
	// conditions are the state of the experiment. Succeeded is the one that decides.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:default={{type: Accepted, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Running, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Succeeded, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Reconciling, status: "True", reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Stalled, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}}
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of the spec this status speaks of.
	// +kubebuilder:validation:Minimum=0
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// phase sums up the conditions in one word, for people and printer columns; programs read the conditions.
	// +kubebuilder:validation:Enum=Pending;Running;Suspended;Succeeded;Failed;Rejected
	// +optional
	Phase string `json:"phase,omitempty"`

	// startTime is when the manager first saw the experiment.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// completionTime is when it came to its end.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// estimatedEndTime is when it will end if the rest of the trials take as long as those that have ended.
	// +optional
	EstimatedEndTime *metav1.Time `json:"estimatedEndTime,omitempty"`

	// trials counts the trials by what has become of them.
	// +optional
	Trials TrialCounts `json:"trials,omitzero"`

	// used is what the trials that have ended used of each resource of spec.budget and, once the experiment has ended, what the others had
	// used then. It never falls.
	// +listType=map
	// +listMapKey=resource
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Used []ResourceHours `json:"used,omitempty"`

	// counted is what used was last reckoned by, so that Trials which are deleted give nothing back.
	// +listType=map
	// +listMapKey=resource
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Counted []CountedHours `json:"counted,omitempty"`

	// best is the best trial; of several objectives the one that is best in the first.
	// +optional
	Best *BestTrial `json:"best,omitempty"`

	// pareto are, with several objectives, the trials that no other beats in all; at most 32 of them, the best of the first
	// objective first.
	// +listType=map
	// +listMapKey=trial
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Pareto []BestTrial `json:"pareto,omitempty"`

	// curve is the best value of the first objective after so many ended trials, where it became better; at most 32 points,
	// the last of them always.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Curve []CurvePoint `json:"curve,omitempty"`

	// failure is why trials fail, when the last of them fail alike.
	// +optional
	Failure *TrialsFailure `json:"failure,omitempty"`
}

// CountedHours is what trials used of a resource, by whether they are there still.
type CountedHours struct {
	// resource is that of spec.budget.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Resource string `json:"resource,omitempty"`

	// present is the hours of the trials that are there, or are in the records of older ones.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +required
	Present string `json:"present,omitempty"`

	// deleted is the hours of those that somebody deleted.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +required
	Deleted string `json:"deleted,omitempty"`
}

// TrialCounts counts trials.
type TrialCounts struct {
	// created is how many there are and were.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Created int32 `json:"created,omitempty"`

	// pending is how many wait: for their job to be made, for a queue, or because their job is suspended.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Pending *int32 `json:"pending,omitempty"`

	// running is how many run.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Running *int32 `json:"running,omitempty"`

	// succeeded is how many have ended with a value of every objective.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Succeeded *int32 `json:"succeeded,omitempty"`

	// earlyStopped is how many were stopped because they were not worth their time.
	// +kubebuilder:validation:Minimum=0
	// +optional
	EarlyStopped int32 `json:"earlyStopped,omitempty"`

	// failed is how many failed.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Failed *int32 `json:"failed,omitempty"`

	// metricsUnavailable is how many ended without a value of an objective.
	// +kubebuilder:validation:Minimum=0
	// +optional
	MetricsUnavailable int32 `json:"metricsUnavailable,omitempty"`

	// killed is how many were stopped because the experiment had come to its end.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Killed int32 `json:"killed,omitempty"`

	// archived is how many of those that ended are no objects any more.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Archived int32 `json:"archived,omitempty"`
}

// BestTrial is a trial that is better than others.
type BestTrial struct {
	// trial is its name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +required
	Trial string `json:"trial,omitempty"`

	// assignments are its parameters.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Assignments []Assignment `json:"assignments,omitempty"`

	// metrics are its values, those of the objectives first.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=40
	// +optional
	Metrics []MetricValue `json:"metrics,omitempty"`
}

// TrialsFailure is why trials fail alike.
type TrialsFailure struct {
	// trials is how many of the last trials ended like this.
	// +kubebuilder:validation:Minimum=1
	// +required
	Trials int32 `json:"trials,omitempty"`

	// example is the name of one of them.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +required
	Example string `json:"example,omitempty"`

	// message is what that one says.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	Message string `json:"message,omitempty"`
}

// GetConditions returns the conditions of the Experiment.
func (e *Experiment) GetConditions() []metav1.Condition { return e.Status.Conditions }

// SetConditions replaces the conditions of the Experiment.
func (e *Experiment) SetConditions(c []metav1.Condition) { e.Status.Conditions = c }

// SetObservedGeneration records the generation the status speaks of.
func (e *Experiment) SetObservedGeneration(g int64) { e.Status.ObservedGeneration = g }
