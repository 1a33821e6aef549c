// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package install tests what is applied to a cluster, without one: the size and shape of the manifests, and how Argo CD
// and kstatus read a TrainingJob.
package install
