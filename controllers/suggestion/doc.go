// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package suggestion keeps Suggestions. They own nothing; all they do is said in their status.
//
//	spec.experiment:  Experiment's Trials ---> the last fifty proposals and why (written ten at a time)
//	spec.search:      spec.count, spec.results ---> proposals, as many as were asked for
//
// The proposals of a search of its own are durable facts: each is recorded with the number of results that were known when it was made,
// so that the next one follows from the object alone.
//
// +kubebuilder:rbac:groups=millrace.dev,resources=suggestions,verbs=get;list;watch
// +kubebuilder:rbac:groups=millrace.dev,resources=suggestions/status,verbs=patch
// +kubebuilder:rbac:groups=millrace.dev,resources=experiments;trials,verbs=get;list;watch
package suggestion
