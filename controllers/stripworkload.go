// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"maps"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/millrace-ml/millrace/internal/kueue"
)

var stripManagedFields = cache.TransformStripManagedFields()

// stripsLoose are the parts that no plan reads of kinds that are unstructured: of Workloads the pod templates, which repeat those of every job
// of the cluster, and of claims all but what they were given.
var stripsLoose = map[schema.GroupVersionKind]func(map[string]any){
	kueue.WorkloadKind: stripTemplates,
	resourcev1.SchemeGroupVersion.WithKind("ResourceClaim"): stripClaim,
}

// stripOther drops what no plan reads from objects that have no form of their own in the cache, managed fields among it.
func stripOther(o any) (any, error) {
	if u, loose := o.(*unstructured.Unstructured); loose {
		if strip, found := stripsLoose[u.GroupVersionKind()]; found {
			strip(u.Object)
		}
	}
	return stripManagedFields(o)
}

func stripTemplates(workload map[string]any) {
	spec, _ := workload["spec"].(map[string]any)
	sets, _ := spec["podSets"].([]any)
	for _, s := range sets {
		if set, ok := s.(map[string]any); ok {
			delete(set, "template")
		}
	}
}

func stripClaim(claim map[string]any) {
	delete(claim, "spec")
	if status, ok := claim["status"].(map[string]any); ok {
		maps.DeleteFunc(status, func(field string, _ any) bool { return field != "allocation" })
	}
}
