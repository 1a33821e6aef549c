// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e runs jobs on a real cluster: a real kubelet, real PyTorch and MPI, and the manager where users have it, in the
// cluster. `make e2e` starts the cluster, deploys the manager of this checkout and runs these specs, which take the
// cluster from KUBECONFIG and the programs from KUBECTL and MILL.
//
// Specs run side by side, as many as PROCS says, but for those that are Serial: what kills or replaces the manager, counts what it
// asks, cordons the node, or computes: two trainings at once would take each other's cores. They come last, one after the other.
//
// Every spec has a namespace of its own. Most pods run a line of shell instead of a training: what is of interest is what
// the kubelet, the scheduler and the manager make of it.
package e2e
