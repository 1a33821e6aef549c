// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/millrace-ml/millrace/internal/kueue"
)

var stripManagedFields = cache.TransformStripManagedFields()

// stripOther drops what no plan reads from objects that have no form of their own in the cache: managed fields, and of Workloads
// the pod templates, which repeat those of every job of the cluster.
func stripOther(o any) (any, error) {
	if u, loose := o.(*unstructured.Unstructured); loose && u.GroupVersionKind() == kueue.WorkloadKind {
		stripTemplates(u)
	}
	return stripManagedFields(o)
}

func stripTemplates(workload *unstructured.Unstructured) {
	spec, _ := workload.Object["spec"].(map[string]any)
	sets, _ := spec["podSets"].([]any)
	for _, s := range sets {
		if set, ok := s.(map[string]any); ok {
			delete(set, "template")
		}
	}
}
