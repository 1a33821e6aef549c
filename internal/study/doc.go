// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package study is the memory of a search: what its trials were and what came of them, in an order that does not depend on when
// anybody looked.
//
// The state of a search is the list of its trials, and nothing else. Each trial has the number of its proposal, and says which others it
// follows: those that had ended, in that order, when it was proposed, and had not yet when the one before it was. The n-th proposal
// of an experiment with p trials at once takes into account exactly n-p results, and each freed place one more. So the proposals
// follow from the order in which trials end, whether a manager sees them end one by one or, after it was away, all at once.
//
// It is pure.
package study
