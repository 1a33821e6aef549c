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
//
// How it is made:
//
//	Space ──cube──► coordinates from 0 to 1   (cube.go, dim.go, scale.go, size.go)
//	trials ──evidence──► facts                (history.go: a NaN is a failure)
//	algorithm ──next──► proposals             (algorithms.go: one row each)
//	curves ──rule──► verdict                  (stop.go: one row each)
//
// An algorithm that has to remember something of a proposal (its generation, its
// rung, the number of its point) writes it into the proposal's labels, and reads it
// from the trials' labels when it is asked again. Chance comes from streams that
// are named by the seed, the purpose and the number of the proposal (stream.go), so
// that a proposal is the same in whatever batch it is made.
package suggest
