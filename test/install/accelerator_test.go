// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/config/crd"
	"github.com/millrace-ml/millrace/controllers/accelerator"
	"github.com/millrace-ml/millrace/internal/offline"
)

// TestAcceleratorStates asks kstatus and Argo CD what they make of an Accelerator. Its statuses come from the controller itself.
func TestAcceleratorStates(t *testing.T) {
	node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	node.Status.Capacity = corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("8")}
	for name, c := range map[string]struct {
		spec          map[string]any
		world         *accelerator.World
		kstatus, argo string
	}{
		"not yet seen by the manager": {map[string]any{"resource": "nvidia.com/gpu"}, nil, "InProgress", "Progressing"},
		"with devices":                {map[string]any{"resource": "nvidia.com/gpu"}, &accelerator.World{Nodes: []corev1.Node{node}}, "Current", "Healthy"},
		"without any":                 {map[string]any{"resource": "amd.com/gpu"}, &accelerator.World{Nodes: []corev1.Node{node}}, "InProgress", "Progressing"},
		"on demand":                   {map[string]any{"resource": "amd.com/gpu", "devicesPerNode": int64(8)}, &accelerator.World{}, "Current", "Healthy"},
		"of a class that is not there": {
			map[string]any{"deviceClass": map[string]any{"name": "gpu"}}, &accelerator.World{Served: true}, "Failed", "Degraded",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := stored(t, c.spec)
			if c.world != nil {
				accelerator.Report(a, *c.world, now)
				a.Status.ObservedGeneration = a.Generation
			}
			content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(a)
			if err != nil {
				t.Fatal(err)
			}
			got, err := status.Compute(&unstructured.Unstructured{Object: content})
			if err != nil || got.Status.String() != c.kstatus {
				t.Errorf("kstatus says %v (%v), want %s", got, err, c.kstatus)
			}
			if got, message := health(t, healthScriptOf(t, "Accelerator"), content); got != c.argo || message == "" {
				t.Errorf("Argo CD says %s (%s), want %s", got, message, c.argo)
			}
		})
	}
}

// stored is an Accelerator as the API server stores it.
func stored(t *testing.T, spec map[string]any) *v1alpha1.Accelerator {
	t.Helper()
	schemas, err := offline.Load(crd.FS)
	if err != nil {
		t.Fatal(err)
	}
	given := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "a100"}, "spec": spec}}
	given.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(accelerator.Name))
	o, refusal := schemas.Admit(t.Context(), given, "")
	if !refusal.Empty() {
		t.Fatal(refusal)
	}
	a := &v1alpha1.Accelerator{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, a); err != nil {
		t.Fatal(err)
	}
	return a
}
