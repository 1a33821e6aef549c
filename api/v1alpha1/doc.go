// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the custom resources of Millrace, group millrace.dev: types, validation and
// defaulting markers, and the conditions and reasons each kind reports. It holds no logic.
//
// +kubebuilder:object:generate=true
// +groupName=millrace.dev
package v1alpha1
