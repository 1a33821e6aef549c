// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/controllers/accelerator"
	"github.com/millrace-ml/millrace/controllers/poddefault"
	"github.com/millrace-ml/millrace/internal/offline"
)

// relations gather objects of a kind.
var relations = map[schema.GroupVersionKind]func(*paper, *unstructured.Unstructured) error{
	v1alpha1.GroupVersion.WithKind(accelerator.Name): (*paper).accelerator,
	v1alpha1.GroupVersion.WithKind(poddefault.Name):  (*paper).podDefault,
}

// relate gathers what the objects that are valid tell about others, wherever in the manifests they are.
func (p *planning) relate(ctx context.Context, documents []offline.Document) {
	for _, d := range documents {
		objects, _ := d.Objects()
		for _, o := range objects {
			add, known := relations[o.GroupVersionKind()]
			if !known {
				continue
			}
			stored, refusal := p.schemas.Admit(ctx, o.Unstructured, p.namespace)
			if !refusal.Empty() {
				continue // the problem is told when the object's own turn comes
			}
			if err := add(p.cluster, stored); err != nil {
				p.problems = append(p.problems, o.Problem("", err.Error()))
			}
		}
	}
}

// accelerator adds an Accelerator as the manager sees it that has just looked at it. Of nodes nothing is known on paper.
func (p *paper) accelerator(o *unstructured.Unstructured) error {
	var a v1alpha1.Accelerator
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &a); err != nil {
		return fmt.Errorf("reading the object: %w", err)
	}
	a.Status.ObservedGeneration = a.Generation
	p.accelerators = slices.DeleteFunc(p.accelerators, func(old v1alpha1.Accelerator) bool { return old.Name == a.Name })
	p.accelerators = append(p.accelerators, a)
	return nil
}

// podDefault adds a PodDefault.
func (p *paper) podDefault(o *unstructured.Unstructured) error {
	var d v1alpha1.PodDefault
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &d); err != nil {
		return fmt.Errorf("reading the object: %w", err)
	}
	p.podDefaults = slices.DeleteFunc(p.podDefaults, func(old v1alpha1.PodDefault) bool { return old.Name == d.Name && old.Namespace == d.Namespace })
	p.podDefaults = append(p.podDefaults, d)
	return nil
}
