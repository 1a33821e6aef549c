// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package experiment runs Experiments: it makes Trials with parameters that an algorithm proposes, until the goal is reached, the
// budget is used up or there is nothing left to try.
//
//	(new) ---> Running: a place is free -> a proposal -> a Trial ---+
//	  |           ^                                                 |
//	  |           +-------- a trial ends, and is evidence ----------+
//	  |           |
//	  |           +---> goal, maxTrials, nothing left, time ---> Succeeded, or Failed where no trial had a value
//	  |           |         ^   maxTrials or maxDurationSeconds raised: Running again
//	  |           |         +---
//	  |           +---> maxFailedTrials ---> Failed
//	  v
//	Rejected: the search or the template contradicts itself
//
// The state of the search is the list of its trials (internal/study). Proposals are worked out by a Proposer beside the controller,
// from that list alone, so that a manager that was killed goes on as if nothing had happened: Trials have computed names, and
// a proposal is made true by creating its Trial. Trials beyond spec.trialHistoryLimit are written into ConfigMaps, a page for
// each two hundred, and deleted once the page is seen to be there.
//
// The Suggestion of the same name is the record of what was proposed last. Metrics of running trials come from a Meter: they
// stop trials early, and may reach the goal.
//
// +kubebuilder:rbac:groups=millrace.dev,resources=experiments,verbs=get;list;watch
// +kubebuilder:rbac:groups=millrace.dev,resources=experiments/status,verbs=patch
// +kubebuilder:rbac:groups=millrace.dev,resources=trials,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=millrace.dev,resources=suggestions,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch;create
package experiment
