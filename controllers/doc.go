// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controllers lists the kinds Millrace runs. Who owns what:
//
//	Accelerator   nothing
//	Notebook      a StatefulSet, a Service, a route, claims of devices, snapshots
//	PodDefault    nothing
//	Profile       its namespace, and in it access, limits and policies
//	TrainingJob   pods, one headless Service; ssh keys and hosts, claims of devices, where they are asked for
//
// Each kind is a package of its own that imports no other kind: kinds meet through the API only.
package controllers
