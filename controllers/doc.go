// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controllers lists the kinds Millrace runs. Who owns what:
//
//	Accelerator   nothing; the cordon of nodes that are bad, where the configuration allows it
//	Experiment    Trials, a Suggestion, ConfigMaps with the records of old trials
//	Notebook      a StatefulSet, a Service, a route, claims of devices, snapshots
//	PodDefault    nothing
//	Profile       its namespace, and in it access, limits and policies
//	Suggestion    nothing
//	TrainingJob   pods, one headless Service; ssh keys and hosts, claims of devices, where they are asked for
//	Trial         one job of the kind that its template names
//
// Each kind is a package of its own that imports no other kind: kinds meet through the API only.
package controllers
