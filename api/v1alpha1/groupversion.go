// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of every Millrace kind, and the prefix of its labels and annotations.
const Group = "millrace.dev"

// GroupVersion is the group and version of the kinds in this package.
var GroupVersion = schema.GroupVersion{Group: Group, Version: "v1alpha1"}

// AddToScheme adds the kinds of this package to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&TrainingJob{}, &TrainingJobList{},
		&Accelerator{}, &AcceleratorList{},
		&Notebook{}, &NotebookList{},
		&Profile{}, &ProfileList{},
		&PodDefault{}, &PodDefaultList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
