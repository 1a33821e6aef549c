// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package compat holds Millrace to what the operators did that users come from: the environment and files of the pods,
// computed here from their published contracts and from nothing of Millrace's own, and the end of jobs in their behaviour
// suites. Where Millrace differs on purpose, the difference is listed by name.
package compat
