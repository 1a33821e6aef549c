// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

func counted() []client.Object {
	return []client.Object{
		&v1alpha1.Accelerator{
			ObjectMeta: metav1.ObjectMeta{Name: "a100"}, Spec: v1alpha1.AcceleratorSpec{Resource: "nvidia.com/gpu"},
			Status: v1alpha1.AcceleratorStatus{
				Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Message: "Nodes have devices."}},
				Nodes:      new(int32(2)), Capacity: new(int32(16)), Allocatable: new(int32(15)), InUse: new(int32(5)), Free: new(int32(10)),
				Unhealthy:      new(int32(1)),
				LargestGang:    &v1alpha1.LargestGang{Devices: new(int32(10)), WholeNodes: new(int32(1)), DevicesPerNode: 8},
				ByNamespace:    []v1alpha1.NamespaceUse{{Namespace: "team-a", InUse: 4, Nodes: 1}, {Namespace: "team-b", InUse: 1, Nodes: 1}},
				UnhealthyNodes: []v1alpha1.UnhealthyNode{{Name: "n2", Devices: 1}},
				CordonedNodes:  []v1alpha1.CordonedNode{{Name: "n3"}, {Name: "n4"}},
			},
		},
		&v1alpha1.Accelerator{
			ObjectMeta: metav1.ObjectMeta{Name: "new"}, Spec: v1alpha1.AcceleratorSpec{DeviceClass: &v1alpha1.DeviceClass{Name: "gpu.example.com"}},
		},
	}
}

func TestAcceleratorsAreATable(t *testing.T) {
	got := call(t, counted(), nil, "accelerators")
	want := said{out: `NAME   RESOURCE                NODES   CAPACITY   ALLOCATABLE   IN USE   FREE   LARGEST GANG   UNHEALTHY
a100   nvidia.com/gpu          2       16         15            5        10     10x1, 1x8      1
new    class gpu.example.com   -       -          -             -        -      -              -
`}
	if diff := cmp.Diff(want.out, got.out); diff != "" || got.code != ExitOK {
		t.Errorf("exit code %d (-want +got):\n%s", got.code, diff)
	}
	wide := call(t, counted(), nil, "acc", "-o", "wide").out
	for _, part := range []string{"team-a=4,team-b=1", "n2=1", "n3,n4", "Nodes have devices."} {
		if !strings.Contains(wide, part) {
			t.Errorf("wide lacks %q:\n%s", part, wide)
		}
	}
	if list := call(t, counted(), nil, "accelerators", "-o", "yaml").out; !strings.Contains(list, "kind: Accelerator") || !strings.Contains(list, "kind: List") {
		t.Errorf("want a list, got:\n%s", list)
	}
	if none := call(t, nil, nil, "accelerators"); none.code != ExitOK || !strings.Contains(none.err, "accelerators discover") {
		t.Errorf("want a hint, got %+v", none)
	}
	if bad := call(t, nil, nil, "accelerators", "-o", "xml"); bad.code != ExitError {
		t.Errorf("want exit code %d, got %+v", ExitError, bad)
	}
}

func TestAcceleratorsAreDiscovered(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{"nvidia.com/gpu.product": "NVIDIA-L4"}}}
	node.Status.Capacity = corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("4")}
	class := func(name, expression string) *resourcev1.DeviceClass {
		c := &resourcev1.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: name}}
		c.Spec.Selectors = []resourcev1.DeviceSelector{{CEL: &resourcev1.CELDeviceSelector{Expression: expression}}}
		return c
	}
	slice := &resourcev1.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: "slice"}, Spec: resourcev1.ResourceSliceSpec{
		Driver: "gpu.example.com", NodeName: new("n2"), Pool: resourcev1.ResourcePool{Name: "n2"},
		Devices: []resourcev1.Device{{Name: "gpu-0"}, {Name: "gpu-1"}},
	}}
	objects := []client.Object{
		node, slice, class("gpu.example.com", `device.driver == "gpu.example.com"`), class("other.example.com", `device.driver == "other.example.com"`),
	}
	got := call(t, objects, nil, "accelerators", "discover", "-o", "table")
	want := `NAME              RESOURCE                ON DEMAND   SHARING
gpu-example-com   class gpu.example.com   -           None
nvidia-l4         nvidia.com/gpu          -           None
`
	if diff := cmp.Diff(want, got.out); diff != "" || got.code != ExitOK {
		t.Errorf("exit code %d, %s (-want +got):\n%s", got.code, got.err, diff)
	}
}

const withAccelerator = `apiVersion: millrace.dev/v1alpha1
kind: TrainingJob
metadata: {name: digits}
spec:
  framework: PyTorch
  roles:
  - name: Master
    accelerator: {name: a100, count: 8}
    template: {spec: {containers: [{name: pytorch, image: "digits:1"}]}}
`

func TestPlanTakesAcceleratorsOfTheSameManifests(t *testing.T) {
	lone := planOf(t, withAccelerator)
	if lone.code != ExitError || !strings.Contains(lone.err, "job.yaml:8: document 1") || !strings.Contains(lone.err, "AcceleratorNotFound") {
		t.Errorf("want the missing Accelerator told with its line, got %+v", lone)
	}
	acc := "apiVersion: millrace.dev/v1alpha1\nkind: Accelerator\nmetadata: {name: a100}\nspec: {resource: nvidia.com/gpu, nodeSelector: {gpu: a100}, devicesPerNode: 8}\n"
	if err := os.WriteFile("acc.yaml", []byte(acc), 0o600); err != nil {
		t.Fatal(err)
	}
	got := call(t, nil, nil, "plan", "-f", "job.yaml", "-f", "acc.yaml")
	if got.code != ExitOK || got.err != "" || !strings.Contains(got.out, `nvidia.com/gpu: "8"`) || !strings.Contains(got.out, "gpu: a100") {
		t.Errorf("want the pod with its devices, got %+v", got)
	}
	few := strings.Replace(acc, "devicesPerNode: 8", "devicesPerNode: 4", 1)
	if err := os.WriteFile("acc.yaml", []byte(few), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := call(t, nil, nil, "plan", "-f", "job.yaml", "-f", "acc.yaml"); got.code != ExitError || !strings.Contains(got.err, "ask for at most 4") {
		t.Errorf("want the request refused, got %+v", got)
	}
}

func TestPlanShowsClaimTemplates(t *testing.T) {
	got := planOf(t, withAccelerator+`---
apiVersion: millrace.dev/v1alpha1
kind: Accelerator
metadata: {name: a100}
spec: {deviceClass: {name: gpu.nvidia.com}}
`, "-o", "table")
	if got.code != ExitOK || !strings.Contains(got.out, "ResourceClaimTemplate") {
		t.Errorf("want the template of the claims, got %+v", got)
	}
}
