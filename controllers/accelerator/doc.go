// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package accelerator counts the devices of Accelerators. An Accelerator owns nothing: jobs read it when they make pods, and its
// status tells them, and people, what there is.
//
//	(new) ---> counted: Ready=True, devices on nodes or on demand
//	  |            ^
//	  |            v   nodes, pods, slices, claims come, change and go
//	  +------> short: Ready=False, no node has devices
//	  |            ^
//	  |            v
//	  +------> stalled: a selector cannot be read, the device class is not there
//
// Where the manager's configuration allows it, nodes of an Accelerator that are bad are cordoned: by conditions that a monitor sets, or by
// what several pods saw, as TrainingJobs record it. An annotation on the node says for which Accelerator, why and since when. By it,
// and only what carries it, a node is uncordoned, when the evidence is gone and a while has passed. The Accelerator decides, because
// it sees all its nodes: never more than a share of them is cordoned, whoever did it.
//
// What changes all the time, how many devices are in use, is gathered: nodes and pods wake an Accelerator a second later, and
// once for all of them, and a status in which only numbers changed waits for more to change. Pods that hold no device of an
// Accelerator are never looked at: those that do are found by an index. Of slices and claims, which only unstructured caches have, what
// they come to is remembered by version, so that a pass reads those that have changed.
//
// +kubebuilder:rbac:groups=millrace.dev,resources=accelerators,verbs=get;list;watch
// +kubebuilder:rbac:groups=millrace.dev,resources=accelerators/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=millrace.dev,resources=trainingjobs,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups=resource.k8s.io,resources=deviceclasses;resourceslices;resourceclaims,verbs=get;list;watch
package accelerator
