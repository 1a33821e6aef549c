// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/health"
	"github.com/millrace-ml/millrace/internal/index"
)

const gpu = corev1.ResourceName("nvidia.com/gpu")

// cached is a cache of nodes and pods, with the index of devices.
type cached struct {
	client.Reader
	nodes []corev1.Node
	pods  []corev1.Pod
}

func (c *cached) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	switch all := list.(type) {
	case *corev1.NodeList:
		all.Items = c.nodes
	case *corev1.PodList:
		for i := range c.pods {
			if slices.Contains(index.Values(index.Devices)(&c.pods[i]), string(gpu)) {
				all.Items = append(all.Items, c.pods[i])
			}
		}
	}
	return nil
}

// chance draws what happens in a random cluster.
type chance struct{ *rand.Rand }

func (r chance) one(n int) bool { return r.IntN(n) == 0 }

// node draws one: of this product or another, whole or with broken devices, with and without what keeps pods away.
func (r chance) node(name string) corev1.Node {
	n := nodeInShort{
		Name: name, Devices: []int64{0, 1, 4, 8}[r.IntN(4)], Silent: r.one(6), Cordoned: r.one(6),
		Labels: map[string]string{"product": []string{"a100", "t4"}[min(1, r.IntN(4))]},
	}
	if r.one(3) {
		n.Healthy = new(r.Int64N(n.Devices + 1))
	}
	if r.one(3) {
		n.Taints = []corev1.Taint{{Key: []string{"gpu", "other"}[r.IntN(2)], Effect: []corev1.TaintEffect{"NoSchedule", "NoExecute", "PreferNoSchedule"}[r.IntN(3)]}}
	}
	return n.node(gpu)
}

// pod draws one: with devices in several containers, in those that run before, and in sidecars, in any state.
func (r chance) pod(nodes []corev1.Node) corev1.Pod {
	p := podInShort{Namespace: fmt.Sprintf("team-%d", r.IntN(4)), Phase: []corev1.PodPhase{"Pending", "Running", "Succeeded", "Failed"}[r.IntN(4)]}
	if !r.one(4) {
		p.Node = nodes[r.IntN(len(nodes))].Name
	}
	p.Devices, p.Init, p.Broken = r.Int64N(4), r.Int64N(6)*r.Int64N(2), r.IntN(2)*r.IntN(3)
	made := p.pod(gpu)
	if r.one(3) {
		made.Spec.Containers = append(made.Spec.Containers, *made.Spec.Containers[0].DeepCopy())
	}
	return made
}

// slice draws the devices that a node offers by dynamic resource allocation.
func (r chance) slice(node string, generation int64) *resourcev1.ResourceSlice {
	s := sliceOf(node, "A100", 1+r.IntN(4))
	s.Spec.Pool.Generation = generation
	for i := range s.Spec.Devices {
		d := &s.Spec.Devices[i]
		if r.one(4) {
			other := "T4"
			d.Attributes = map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{"product": {StringValue: &other}}
		}
		if r.one(5) {
			d.Taints = []resourcev1.DeviceTaint{{Key: "broken", Effect: []resourcev1.DeviceTaintEffect{"NoSchedule", "NoExecute", "None"}[r.IntN(3)]}}
		}
	}
	return s
}

// count is what an administrator counts by hand. It is written as one would count, and shares nothing with the code.
type count struct {
	Nodes, Capacity, Allocatable, InUse, Free, Unhealthy, WholeNodes int
	By                                                               map[string]int
}

// tally puts a node's numbers together with those of the others.
func (c *count) tally(capacity, allocatable, used, broken int, open bool) {
	if capacity == 0 {
		return
	}
	c.Nodes++
	c.Capacity += capacity
	c.Allocatable += allocatable
	c.InUse += used
	c.Unhealthy += max(broken, capacity-allocatable)
	if open && allocatable > used {
		c.Free += allocatable - used
	}
}

func open(n *corev1.Node, tolerated string) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == "Ready" && c.Status != "True" {
			return false
		}
	}
	for _, t := range n.Spec.Taints {
		if t.Effect != "PreferNoSchedule" && t.Key != tolerated {
			return false
		}
	}
	return !n.Spec.Unschedulable
}

func amount(of corev1.ResourceList) int {
	q := of[gpu]
	return int(q.Value())
}

// asks is what the scheduler takes for a pod: the most of its containers together and of each that runs before them.
func asks(p *corev1.Pod) int {
	together, before := 0, 0
	for _, c := range p.Spec.Containers {
		together += amount(c.Resources.Requests)
	}
	for _, c := range p.Spec.InitContainers {
		before = max(before, amount(c.Resources.Requests))
	}
	return max(together, before)
}

func brokenOf(p *corev1.Pod) int {
	found := 0
	for _, c := range p.Status.ContainerStatuses {
		for _, r := range c.AllocatedResourcesStatus {
			for _, d := range r.Resources {
				if d.Health == corev1.ResourceHealthStatusUnhealthy {
					found++
				}
			}
		}
	}
	return found
}

// byPods counts an extended resource.
func byPods(nodes []corev1.Node, pods []corev1.Pod) count {
	total, largest, left := count{By: map[string]int{}}, 0, []int{}
	for i := range nodes {
		n := &nodes[i]
		if n.Labels["product"] != "a100" {
			continue
		}
		used, broken := 0, 0
		for j := range pods {
			p := &pods[j]
			if p.Spec.NodeName != n.Name || p.Status.Phase == "Succeeded" || p.Status.Phase == "Failed" || asks(p) == 0 {
				continue
			}
			used, broken = used+asks(p), broken+brokenOf(p)
			if amount(n.Status.Capacity) > 0 {
				total.By[p.Namespace] += asks(p)
			}
		}
		before := total.Free
		total.tally(amount(n.Status.Capacity), amount(n.Status.Allocatable), used, broken, open(n, "gpu"))
		largest, left = max(largest, amount(n.Status.Capacity)), append(left, total.Free-before)
	}
	for _, free := range left {
		total.WholeNodes += free / max(1, largest)
	}
	return total
}

// byClaims counts devices of a class.
func byClaims(nodes []corev1.Node, there allocations) count {
	total, largest, left := count{By: map[string]int{}}, 0, []int{}
	for i := range nodes {
		n := &nodes[i]
		if n.Labels["product"] != "a100" {
			continue
		}
		capacity, allocatable, used := 0, 0, 0
		for _, s := range there.parts {
			for _, d := range s.Spec.Devices {
				if *s.Spec.NodeName != n.Name || *d.Attributes["product"].StringValue != "A100" {
					continue
				}
				capacity++
				if len(d.Taints) == 0 || d.Taints[0].Effect == "None" {
					allocatable++
				}
				for _, c := range there.claims {
					if c.Status.Allocation != nil && c.Status.Allocation.Devices.Results[0].Pool == n.Name && c.Status.Allocation.Devices.Results[0].Device == d.Name {
						used++
						total.By[c.Namespace]++
					}
				}
			}
		}
		before := total.Free
		total.tally(capacity, allocatable, used, 0, open(n, "gpu"))
		largest, left = max(largest, capacity), append(left, total.Free-before)
	}
	for _, free := range left {
		total.WholeNodes += free / max(1, largest)
	}
	return total
}

func numbers(st *v1alpha1.AcceleratorStatus) count {
	c := count{
		Nodes: int(*st.Nodes), Capacity: int(*st.Capacity), Allocatable: int(*st.Allocatable), InUse: int(*st.InUse), Free: int(*st.Free),
		Unhealthy: int(*st.Unhealthy), WholeNodes: int(*st.LargestGang.WholeNodes), By: map[string]int{},
	}
	for _, n := range st.ByNamespace {
		c.By[n.Namespace] = int(n.InUse)
	}
	return c
}

// TestTheStatusAgreesWithACountByHand lets nodes, pods, devices and claims come, change and go at random. One observer sees all of it,
// so that what it remembers from one pass to the next is counted too.
func TestTheStatusAgreesWithACountByHand(t *testing.T) {
	kinds := map[string]int{}
	for seed := range uint64(60) {
		playDevices(t, chance{rand.New(rand.NewPCG(seed, 7))}, kinds)
	}
	for _, want := range []string{"in use", "free", "unhealthy", "whole", "claimed"} {
		if kinds[want] == 0 {
			t.Errorf("no world has anything %s", want)
		}
	}
}

func playDevices(t *testing.T, r chance, kinds map[string]int) {
	t.Helper()
	o, counted := fleet(t, 0)
	counted.Spec.NodeSelector = map[string]string{"product": "a100"}
	counted.Spec.Tolerations = []corev1.Toleration{{Key: "gpu", Operator: corev1.TolerationOpExists}}
	plain := counted.DeepCopy()
	plain.Spec.DeviceClass, plain.Spec.Resource = nil, string(gpu)
	world := &cached{}
	look := observer{o, newChooser(), &memory{choices: map[string]*choice{}}, health.Default()}
	devices := allocations{offered: o, parts: map[string]*resourcev1.ResourceSlice{}, claims: map[types.UID]*resourcev1.ResourceClaim{}}
	for generation := range int64(8) {
		world.nodes, world.pods = nil, nil
		for i := range 1 + r.IntN(12) {
			world.nodes = append(world.nodes, r.node(fmt.Sprintf("n%d", i)))
		}
		for range r.IntN(30) {
			world.pods = append(world.pods, r.pod(world.nodes))
		}
		devices.change(t, r, world.nodes, generation)
		for a, want := range map[*v1alpha1.Accelerator]count{plain: byPods(world.nodes, world.pods), counted: byClaims(world.nodes, devices)} {
			w, err := look.observe(t.Context(), world, a)
			if err != nil {
				t.Fatal(err)
			}
			a = a.DeepCopy()
			Report(a, w, noon)
			if diff := gocmp.Diff(want, numbers(&a.Status)); diff != "" {
				t.Fatalf("the status of %s disagrees (-by hand +status):\n%s", strings.TrimSpace(a.Spec.Resource+" "), diff)
			}
			kinds["in use"] += want.InUse
			kinds["free"] += want.Free
			kinds["unhealthy"] += want.Unhealthy
			kinds["whole"] += want.WholeNodes
			if a.Spec.DeviceClass != nil {
				kinds["claimed"] += want.InUse
			}
		}
	}
}

// allocations are the devices of nodes and the claims that hold them, as they are and as the cache shows them.
type allocations struct {
	*offered
	parts  map[string]*resourcev1.ResourceSlice
	claims map[types.UID]*resourcev1.ResourceClaim
}

// change draws what becomes of them: some go with their nodes, some change, most stay.
func (a allocations) change(t *testing.T, r chance, nodes []corev1.Node, generation int64) {
	t.Helper()
	maps.DeleteFunc(a.parts, func(node string, _ *resourcev1.ResourceSlice) bool {
		return !slices.ContainsFunc(nodes, func(n corev1.Node) bool { return n.Name == node })
	})
	maps.DeleteFunc(a.claims, func(types.UID, *resourcev1.ResourceClaim) bool { return r.one(4) })
	a.drop(parts, func(uid types.UID) bool { return a.parts[strings.TrimPrefix(string(uid), "slice-")] != nil })
	a.drop(claims, func(uid types.UID) bool { return a.claims[uid] != nil })
	for i := range nodes {
		name := nodes[i].Name
		if a.parts[name] == nil || r.one(3) {
			a.parts[name] = r.slice(name, generation)
			a.put(t, parts, a.parts[name])
		}
		for _, d := range a.parts[name].Spec.Devices {
			if r.one(3) {
				c := claimOf(fmt.Sprintf("team-%d", r.IntN(3)), name+"-"+d.Name, []string{name, ""}[r.IntN(2)], d.Name)
				a.claims[c.UID] = c
				a.put(t, claims, c)
			}
		}
	}
}
