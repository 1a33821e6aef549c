// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/health"
)

// offered is a cache of the kinds of dynamic resource allocation.
type offered struct {
	kinds   map[string][]unstructured.Unstructured
	places  map[types.UID]int
	version int
}

func newOffered() *offered {
	return &offered{kinds: map[string][]unstructured.Unstructured{}, places: map[types.UID]int{}}
}

func (*offered) Serves(schema.GroupVersionKind) bool { return true }

func (o *offered) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	kind := into.GetObjectKind().GroupVersionKind().Kind
	for _, have := range o.kinds[kind] {
		if have.GetName() == key.Name {
			into.(*unstructured.Unstructured).Object = have.Object
			return nil
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: kind}, key.Name)
}

func (o *offered) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	loose := list.(*unstructured.UnstructuredList)
	kind := loose.GroupVersionKind().Kind
	loose.Items = o.kinds[strings.TrimSuffix(kind, "List")]
	return nil
}

// put stores an object, or the next version of it.
func (o *offered) put(t testing.TB, kind schema.GroupVersionKind, typed client.Object) {
	t.Helper()
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
	if err != nil {
		t.Fatal(err)
	}
	u := unstructured.Unstructured{Object: fields}
	u.SetGroupVersionKind(kind)
	o.version++
	u.SetResourceVersion(strconv.Itoa(o.version))
	if i, known := o.places[u.GetUID()]; known {
		o.kinds[kind.Kind][i] = u
		return
	}
	o.places[u.GetUID()] = len(o.kinds[kind.Kind])
	o.kinds[kind.Kind] = append(o.kinds[kind.Kind], u)
}

// drop removes the objects of a kind that are not to be kept.
func (o *offered) drop(kind schema.GroupVersionKind, keep func(types.UID) bool) {
	old := o.kinds[kind.Kind]
	o.kinds[kind.Kind] = nil
	for _, u := range old {
		delete(o.places, u.GetUID())
		if keep(u.GetUID()) {
			o.places[u.GetUID()] = len(o.kinds[kind.Kind])
			o.kinds[kind.Kind] = append(o.kinds[kind.Kind], u)
		}
	}
}

func sliceOf(node, product string, devices int) *resourcev1.ResourceSlice {
	s := &resourcev1.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: node, UID: types.UID("slice-" + node)}}
	s.Spec = resourcev1.ResourceSliceSpec{Driver: "gpu.example.com", NodeName: &node, Pool: resourcev1.ResourcePool{Name: node, Generation: 1, ResourceSliceCount: 1}}
	for i := range devices {
		s.Spec.Devices = append(s.Spec.Devices, resourcev1.Device{Name: fmt.Sprintf("gpu-%d", i), Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{
			"product": {StringValue: &product},
		}})
	}
	return s
}

func claimOf(namespace, name, node, device string) *resourcev1.ResourceClaim {
	c := &resourcev1.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("claim-" + name)}}
	c.Spec.Devices.Requests = []resourcev1.DeviceRequest{{Name: "gpu", Exactly: &resourcev1.ExactDeviceRequest{DeviceClassName: "gpu", Count: 1}}}
	if node != "" {
		c.Status.Allocation = &resourcev1.AllocationResult{Devices: resourcev1.DeviceAllocationResult{
			Results: []resourcev1.DeviceRequestAllocationResult{{Request: "gpu", Driver: "gpu.example.com", Pool: node, Device: device}},
		}}
	}
	return c
}

// fleet is a cluster of nodes with eight devices each, every one of them claimed.
func fleet(t testing.TB, nodes int) (*offered, *v1alpha1.Accelerator) {
	t.Helper()
	o := newOffered()
	o.put(t, classes, &resourcev1.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: "gpu", UID: "class"}, Spec: resourcev1.DeviceClassSpec{
		Selectors: []resourcev1.DeviceSelector{{CEL: &resourcev1.CELDeviceSelector{Expression: `device.driver == "gpu.example.com"`}}},
	}})
	for n := range nodes {
		node := fmt.Sprintf("node-%d", n)
		o.put(t, parts, sliceOf(node, "A100", 8))
	}
	for n := range nodes {
		node := fmt.Sprintf("node-%d", n)
		for d := range 8 {
			o.put(t, claims, claimOf("team", fmt.Sprintf("%s-%d", node, d), node, fmt.Sprintf("gpu-%d", d)))
		}
	}
	a := &v1alpha1.Accelerator{ObjectMeta: metav1.ObjectMeta{Name: "a100"}}
	a.Spec.DeviceClass = &v1alpha1.DeviceClass{Name: "gpu", Selectors: []string{`device.attributes["gpu.example.com"].product == "A100"`}}
	return o, a
}

// BenchmarkUseOfClaims is a pass over an Accelerator with 10,000 devices, all claimed, of which one claim has changed since the last.
func BenchmarkUseOfClaims(b *testing.B) {
	o, a := fleet(b, 1250)
	watcher := observer{o, newChooser(), &memory{choices: map[string]*choice{}}, health.Default()}
	pass := func() World {
		var w World
		if err := watcher.allocation(b.Context(), a, &w); err != nil {
			b.Fatal(err)
		}
		return w
	}
	if w := pass(); len(uses(a, w)) != 10000 {
		b.Fatalf("%d uses", len(uses(a, w)))
	}
	for b.Loop() {
		o.put(b, claims, claimOf("team", "node-0-0", "node-0", "gpu-0"))
		uses(a, pass())
	}
}
