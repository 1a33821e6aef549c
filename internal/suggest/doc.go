// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package suggest proposes the parameters of the next trials of an experiment.
//
// It is a library of search algorithms and nothing else: no Kubernetes, no
// clock, no global random state, no memory between calls. The state of a search
// is the list of its trials:
//
//	Problem + completed trials + pending trials + seed  ──Next──►  proposals
//
// The same inputs give the same proposals on every machine, so that a manager
// that is killed at any trial goes on as if nothing had happened.
package suggest
