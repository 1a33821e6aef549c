// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Suggestion proposes parameters. One that names an Experiment is the record of what was proposed to it last and why; the
// Experiment makes it. One that has a search of its own is for a client that runs its trials itself: it asks for proposals by spec.count
// and tells their results in spec.results.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=sug,categories=millrace
// +kubebuilder:printcolumn:name="Experiment",type=string,JSONPath=`.spec.experiment`
// +kubebuilder:printcolumn:name="Algorithm",type=string,JSONPath=`.spec.search.algorithm.name`
// +kubebuilder:printcolumn:name="Proposed",type=integer,JSONPath=`.status.proposed`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
type Suggestion struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what is asked for.
	// +required
	Spec SuggestionSpec `json:"spec,omitzero"`
	// status is what was proposed.
	// +kubebuilder:default={}
	// +optional
	Status SuggestionStatus `json:"status,omitzero"`
}

// SuggestionList is a list of Suggestions.
//
// +kubebuilder:object:root=true
type SuggestionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []Suggestion `json:"items"`
}

// SuggestionSpec is what is asked for.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="has(self.experiment) != has(self.search)",message="spec: set one of experiment (the record of one) and search (for a client of its own)"
// +kubebuilder:validation:XValidation:rule="has(self.search) || (!has(self.count) && !has(self.results))",message="spec.count and spec.results go with spec.search"
type SuggestionSpec struct {
	// experiment is the name of the Experiment whose proposals are recorded.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.experiment cannot change: delete the suggestion and create it again"
	// +optional
	Experiment string `json:"experiment,omitempty"`

	// search is the search of a client of its own.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.search cannot change: delete the suggestion and create it again"
	// +optional
	Search *Search `json:"search,omitempty"`

	// count is how many proposals are wanted in all.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	Count int32 `json:"count,omitempty"`

	// results are those of proposals, in the order in which they became known: append to them.
	// +listType=map
	// +listMapKey=proposal
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	// +optional
	Results []ProposalResult `json:"results,omitempty"`
}

// Search is a search by itself.
type Search struct {
	// objectives are the metrics to find the best of.
	// +listType=map
	// +listMapKey=metric
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	// +required
	Objectives []Objective `json:"objectives,omitempty"`

	// algorithm chooses the proposals.
	// +required
	Algorithm Algorithm `json:"algorithm,omitzero"`

	// parameters are what is searched.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +required
	Parameters []Parameter `json:"parameters,omitempty"`

	// constraints are what the parameters must meet together.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Constraints []Constraint `json:"constraints,omitempty"`

	// seed of all that is random. Where it is left out it follows from the namespace and the name.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Seed *int64 `json:"seed,omitempty"`
}

// ProposalResult is what came of a proposal. Without values it failed.
type ProposalResult struct {
	// proposal is its number.
	// +kubebuilder:validation:Minimum=1
	// +required
	Proposal int32 `json:"proposal,omitempty"`

	// values of the objectives; none where it failed.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	// +optional
	Values []MetricValue `json:"values,omitempty"`
}

// SuggestionStatus is what was proposed.
type SuggestionStatus struct {
	// conditions are the state of the suggestion. Ready is the one that decides.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:default={{type: Ready, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Reconciling, status: "True", reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Stalled, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}}
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of the spec this status speaks of.
	// +kubebuilder:validation:Minimum=0
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// proposed is how many proposals there were.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Proposed *int32 `json:"proposed,omitempty"`

	// exhausted says why there will be no more.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Exhausted string `json:"exhausted,omitempty"`

	// proposals of a search of its own are all there were, those of an Experiment the last 50 at most.
	// +listType=map
	// +listMapKey=proposal
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	// +optional
	Proposals []Proposal `json:"proposals,omitempty"`
}

// Proposal are parameters that were proposed.
type Proposal struct {
	// proposal is its number, from 1.
	// +kubebuilder:validation:Minimum=1
	// +required
	Proposal int32 `json:"proposal,omitempty"`

	// trial is the Trial that was made for it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Trial string `json:"trial,omitempty"`

	// assignments are the parameters.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Assignments []Assignment `json:"assignments,omitempty"`

	// results is how many results were known when it was made.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Results *int32 `json:"results,omitempty"`

	// labels are what the algorithm notes of it.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// parent is the proposal from whose checkpoint this one goes on, by the name of its trial, or its number where it has none.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Parent string `json:"parent,omitempty"`

	// why says how it came about.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Why string `json:"why,omitempty"`
}

// GetConditions returns the conditions of the Suggestion.
func (s *Suggestion) GetConditions() []metav1.Condition { return s.Status.Conditions }

// SetConditions replaces the conditions of the Suggestion.
func (s *Suggestion) SetConditions(c []metav1.Condition) { s.Status.Conditions = c }

// SetObservedGeneration records the generation the status speaks of.
func (s *Suggestion) SetObservedGeneration(g int64) { s.Status.ObservedGeneration = g }
