// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
	"cmp"
	"flag"
	"os"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/accelerator"
	"github.com/millrace-ml/millrace/internal/envtest"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/test/golden"
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(envtest.Main(m))
}

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// tallyCase is a case: an Accelerator, and nodes and pods in short.
type tallyCase struct {
	Accelerator v1alpha1.Accelerator `json:"accelerator"`
	Nodes       []nodeInShort        `json:"nodes"`
	Pods        []podInShort         `json:"pods"`
	// Class is what there is of dynamic resource allocation, nothing where it is left out.
	Class *struct {
		Found   bool                 `json:"found"`
		Wrong   string               `json:"wrong"`
		Devices []accelerator.Device `json:"devices"`
		// Held are devices by namespace.
		Held map[string][]string `json:"held"`
	} `json:"class"`
}

type nodeInShort struct {
	Name    string            `json:"name"`
	Labels  map[string]string `json:"labels"`
	Devices int64             `json:"devices"`
	// Healthy is the number of devices that are; all when left out.
	Healthy  *int64         `json:"healthy"`
	Taints   []corev1.Taint `json:"taints"`
	Silent   bool           `json:"silent"`
	Cordoned bool           `json:"cordoned"`
	// Conditions are those that are True beside Ready.
	Conditions []string `json:"conditions"`
	// Mark is the annotation of a node that was cordoned by us.
	Mark string `json:"mark"`
}

type podInShort struct {
	Namespace string          `json:"namespace"`
	Node      string          `json:"node"`
	Devices   int64           `json:"devices"`
	Init      int64           `json:"init"`
	Phase     corev1.PodPhase `json:"phase"`
	Broken    int             `json:"broken"`
	// Named is the Accelerator that the pod asked for, empty for one that asked for the resource itself.
	Named string `json:"named"`
}

func TestReports(t *testing.T) { golden.Cases(t, report) }

func report(t *testing.T, c *tallyCase) any {
	t.Helper()
	a, w := &c.Accelerator, c.world()
	Report(a, w, noon)
	twice := a.DeepCopy()
	Report(twice, w, noon)
	if diff := gocmp.Diff(a, twice); diff != "" {
		t.Errorf("a second report says something else (-once +twice):\n%s", diff)
	}
	if plan := Plan(a, w, noon); !plan.Empty() || len(plan.Apply) > 0 {
		t.Errorf("an Accelerator makes %v", plan)
	}
	return a.Status
}

func (c *tallyCase) world() World {
	var w World
	name := corev1.ResourceName(c.Accelerator.Spec.Resource)
	for _, n := range c.Nodes {
		w.Nodes = append(w.Nodes, n.node(name))
	}
	for _, p := range c.Pods {
		w.Pods = append(w.Pods, p.pod(name))
	}
	if c.Class == nil {
		return w
	}
	w.Served, w.Found, w.Wrong, w.Devices = true, c.Class.Found, c.Class.Wrong, c.Class.Devices
	for namespace, held := range c.Class.Held {
		claim := resourcev1.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace}}
		claim.Status.Allocation = &resourcev1.AllocationResult{}
		for _, name := range held {
			claim.Status.Allocation.Devices.Results = append(claim.Status.Allocation.Devices.Results, resourcev1.DeviceRequestAllocationResult{
				Driver: "gpu.nvidia.com", Pool: "pool", Device: name,
			})
		}
		w.Claims = append(w.Claims, accelerator.HoldingOf(&claim))
	}
	return w
}

func quantity(n int64) resource.Quantity { return *resource.NewQuantity(n, resource.DecimalSI) }

func (n nodeInShort) node(name corev1.ResourceName) corev1.Node {
	node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: n.Labels}}
	node.Spec.Taints, node.Spec.Unschedulable = n.Taints, n.Cordoned
	ready := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue}
	if n.Silent {
		ready.Status = corev1.ConditionUnknown
	}
	node.Status.Conditions = []corev1.NodeCondition{ready}
	for _, name := range n.Conditions {
		node.Status.Conditions = append(node.Status.Conditions, corev1.NodeCondition{Type: corev1.NodeConditionType(name), Status: corev1.ConditionTrue})
	}
	node.UID, node.ResourceVersion = types.UID(n.Name+"-uid"), "7"
	if n.Mark != "" {
		node.Annotations = map[string]string{names.Cordoned: n.Mark}
	}
	if n.Devices > 0 && name != "" {
		node.Status.Capacity = corev1.ResourceList{name: quantity(n.Devices)}
		node.Status.Allocatable = corev1.ResourceList{name: quantity(*cmp.Or(n.Healthy, &n.Devices))}
	}
	return node
}

func (p podInShort) pod(name corev1.ResourceName) corev1.Pod {
	asking := func(n int64) corev1.Container {
		return corev1.Container{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{name: quantity(n)}}}
	}
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Labels: map[string]string{names.Accelerator: p.Named}}}
	pod.Spec = corev1.PodSpec{NodeName: p.Node, Containers: []corev1.Container{asking(p.Devices)}}
	if p.Init > 0 {
		pod.Spec.InitContainers = []corev1.Container{asking(p.Init)}
	}
	pod.Status.Phase = cmp.Or(p.Phase, corev1.PodRunning)
	status := corev1.ResourceStatus{Name: name, Resources: []corev1.ResourceHealth{{ResourceID: "fine", Health: corev1.ResourceHealthStatusHealthy}}}
	for range p.Broken {
		status.Resources = append(status.Resources, corev1.ResourceHealth{Health: corev1.ResourceHealthStatusUnhealthy})
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{AllocatedResourcesStatus: []corev1.ResourceStatus{status}}}
	return pod
}
