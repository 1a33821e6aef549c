// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package poddefault tells which pods PodDefaults are for. A PodDefault owns nothing: the controllers that make pods merge it into
// them (internal/poddefault), and for pods of others an admission policy of the API server does (config/components).
//
//	(new) ---> in use: Ready=True; which workloads it is for, and which contradict it
//	      \
//	       --> a selector that cannot be read: Stalled=True until it changes
//
// Numbers change with every workload and pod. They are gathered for a second, and written less often the more they change.
//
// +kubebuilder:rbac:groups=millrace.dev,resources=poddefaults,verbs=get;list;watch
// +kubebuilder:rbac:groups=millrace.dev,resources=poddefaults/status,verbs=patch
// +kubebuilder:rbac:groups=millrace.dev,resources=notebooks;trainingjobs,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingadmissionpolicies;mutatingadmissionpolicybindings,verbs=get;list;watch
package poddefault
