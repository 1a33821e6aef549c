// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
	"fmt"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

const gpu = corev1.ResourceName("nvidia.com/gpu")

func has(n int) corev1.ResourceList {
	return corev1.ResourceList{gpu: *resource.NewQuantity(int64(n), resource.DecimalSI)}
}

// byHand is a count of devices that is made node by node and pod by pod.
type byHand struct{ Nodes, Capacity, InUse, Free, Whole int }

// FuzzTally makes a cluster of the bytes, two for each node and one for each pod, and compares what is tallied with a count by hand.
func FuzzTally(f *testing.F) {
	f.Add([]byte{3, 0x88, 0, 0x87, 1, 0x40, 2, 0x01, 0x12, 0x53, 0x70, 0x21})
	f.Add([]byte{1, 0xff, 3})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, bytes []byte) {
		if len(bytes) == 0 {
			return
		}
		nodes, pods := clusterOf(bytes[1:min(len(bytes), 200)], int(bytes[0]%8))
		a := &v1alpha1.Accelerator{Spec: v1alpha1.AcceleratorSpec{Resource: string(gpu), NodeSelector: map[string]string{"gpu": "yes"}}}
		found, err := Nodes(a, nodes)
		if err != nil {
			t.Fatal(err)
		}
		Tally(&a.Status, Supplies(a, found), Uses(a, pods))
		st := a.Status
		got := byHand{int(*st.Nodes), int(*st.Capacity), int(*st.InUse), int(*st.Free), int(*st.LargestGang.WholeNodes)}
		if diff := gocmp.Diff(countByHand(nodes, pods), got); diff != "" {
			t.Errorf("by hand (-), tallied (+):\n%s", diff)
		}
		users := int32(0)
		for _, u := range st.ByNamespace {
			users += u.InUse
		}
		if users != *st.InUse || *st.Free > *st.Allocatable || *st.Unhealthy > *st.Capacity {
			t.Errorf("the numbers contradict each other: %+v", st)
		}
	})
}

// clusterOf makes nodes and pods of bytes.
func clusterOf(bytes []byte, count int) (nodes []corev1.Node, pods []corev1.Pod) {
	for i, b := range bytes {
		if i/2 >= count {
			pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprint("team-", b>>6)}}
			pod.Spec.NodeName = []string{"", "n0", "n1", "n2", "elsewhere"}[int(b>>4)%5]
			pod.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: has(int(b & 3))}}}
			pod.Status.Phase = []corev1.PodPhase{corev1.PodPending, corev1.PodRunning, corev1.PodSucceeded, corev1.PodFailed}[b>>2&3]
			pods = append(pods, pod)
			continue
		}
		if i%2 == 0 {
			node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("n", i/2), Labels: map[string]string{"gpu": "yes"}}}
			node.Status.Capacity, node.Status.Allocatable = has(int(b>>4)), has(min(int(b>>4), int(b&15)))
			node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
			nodes = append(nodes, node)
			continue
		}
		node := &nodes[len(nodes)-1]
		node.Spec.Unschedulable = b&1 == 1
		if b&2 == 2 {
			node.Labels = nil
		}
	}
	return nodes, pods
}

func countByHand(nodes []corev1.Node, pods []corev1.Pod) byHand {
	value := func(list corev1.ResourceList) int { q := list[gpu]; return int(q.Value()) }
	var got byHand
	largest, free := 0, map[string]int{}
	for _, n := range nodes {
		if n.Labels["gpu"] != "yes" || value(n.Status.Capacity) == 0 {
			continue
		}
		got.Nodes, got.Capacity = got.Nodes+1, got.Capacity+value(n.Status.Capacity)
		largest = max(largest, value(n.Status.Capacity))
		held := 0
		for _, p := range pods {
			if p.Spec.NodeName == n.Name && (p.Status.Phase == corev1.PodPending || p.Status.Phase == corev1.PodRunning) {
				held += value(p.Spec.Containers[0].Resources.Requests)
			}
		}
		got.InUse += held
		if !n.Spec.Unschedulable {
			free[n.Name] = max(0, value(n.Status.Allocatable)-held)
			got.Free += free[n.Name]
		}
	}
	for _, left := range free {
		if left >= largest {
			got.Whole++
		}
	}
	return got
}
