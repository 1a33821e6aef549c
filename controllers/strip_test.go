// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/millrace-ml/millrace/internal/kueue"
	"github.com/millrace-ml/millrace/internal/names"
)

func TestTheCacheKeepsWhatHealthAndProgressAreToldBy(t *testing.T) {
	devices := []corev1.ResourceStatus{{Name: "nvidia.com/gpu", Resources: []corev1.ResourceHealth{{ResourceID: "GPU-1", Health: "Unhealthy"}}}}
	kept := map[string]string{names.Heartbeat: "a", names.Step: "b", names.Checkpoint: "c", names.Avoids: "d"}
	notes := maps.Clone(kept)
	notes["other"] = "e"
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Annotations: notes},
		Status:     corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "main", AllocatedResourcesStatus: devices}}},
	}
	stripPod(pod)
	if diff := cmp.Diff(kept, pod.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(devices, pod.Status.ContainerStatuses[0].AllocatedResourcesStatus); diff != "" {
		t.Errorf("devices (-want +got):\n%s", diff)
	}
}

func TestTheCacheKeepsThePlacesOfPodsInATopologyOfKueue(t *testing.T) {
	for workload, want := range map[string]string{"trainingjob-digits": "node-a", "": ""} {
		pod := &corev1.Pod{Spec: corev1.PodSpec{NodeSelector: map[string]string{corev1.LabelHostname: "node-a"}}}
		pod.Annotations = map[string]string{kueue.WorkloadAnnotation: workload}
		stripPod(pod)
		if got := pod.Spec.NodeSelector[corev1.LabelHostname]; got != want {
			t.Errorf("of a pod of workload %q the place kept is %q, want %q", workload, got, want)
		}
	}
}

func TestTheCacheKeepsConditionsWithoutHeartbeats(t *testing.T) {
	now := metav1.Now()
	node := &corev1.Node{Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{
		{Type: corev1.NodeReady, Status: "True", Reason: "KubeletReady", LastHeartbeatTime: now, LastTransitionTime: now},
		{Type: "GpuXidError", Status: "True", Reason: "Xid79", Message: "gone", LastHeartbeatTime: now, LastTransitionTime: now},
	}}}
	if _, err := stripNode(node); err != nil {
		t.Fatal(err)
	}
	want := []corev1.NodeCondition{
		{Type: corev1.NodeReady, Status: "True", LastTransitionTime: now},
		{Type: "GpuXidError", Status: "True", Reason: "Xid79", Message: "gone", LastTransitionTime: now},
	}
	if diff := cmp.Diff(want, node.Status.Conditions); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
}

func TestTheCacheKeepsOfClaimsWhatTheyWereGiven(t *testing.T) {
	claim := func(fields map[string]any) *unstructured.Unstructured {
		fields["apiVersion"], fields["kind"] = "resource.k8s.io/v1", "ResourceClaim"
		fields["metadata"] = map[string]any{"name": "a", "uid": "b"}
		return &unstructured.Unstructured{Object: fields}
	}
	given := map[string]any{"devices": map[string]any{"results": []any{map[string]any{"device": "gpu-0"}}}}
	whole := claim(map[string]any{
		"spec":   map[string]any{"devices": map[string]any{}},
		"status": map[string]any{"allocation": given, "reservedFor": []any{}, "devices": []any{}},
	})
	if _, err := stripOther(whole); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(claim(map[string]any{"status": map[string]any{"allocation": given}}), whole); diff != "" {
		t.Errorf("what is kept (-want +got):\n%s", diff)
	}
}

func TestTheCacheKeepsAllLabelsOfPodsThatAskForPodDefaults(t *testing.T) {
	for asks, want := range map[string]int{"true": 3, "no": 2} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web", names.PodDefaults: asks, names.Role: "worker"}}}
		if stripPod(pod); len(pod.Labels) != want {
			t.Errorf("of a pod that says %q, %d labels are kept, want %d: %v", asks, len(pod.Labels), want, pod.Labels)
		}
	}
}

func TestTheCacheTellsWhichContainerOfANotebookIsTheServerAndWhatStartsItAgain(t *testing.T) {
	again := corev1.ContainerResizePolicy{ResourceName: corev1.ResourceMemory, RestartPolicy: corev1.RestartContainer}
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Labels:      map[string]string{names.Notebook: "lab"},
			Annotations: map[string]string{names.MadeFrom: "{}", names.DefaultContainer: "lab", "other": "x"},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "istio-proxy"}, {Name: "lab", ResizePolicy: []corev1.ContainerResizePolicy{
			{ResourceName: corev1.ResourceCPU, RestartPolicy: corev1.NotRequired}, again,
		}}}},
	}
	other := p.DeepCopy()
	delete(other.Labels, names.Notebook)
	stripPod(p)
	stripPod(other)
	want := []corev1.Container{{Name: "istio-proxy"}, {Name: "lab", ResizePolicy: []corev1.ContainerResizePolicy{again}}}
	if diff := cmp.Diff(want, p.Spec.Containers); diff != "" {
		t.Errorf("containers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{names.MadeFrom: "{}", names.DefaultContainer: "lab"}, p.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if other.Annotations[names.DefaultContainer] != "" {
		t.Error("of pods that are no notebook's it is kept for nothing")
	}
}

func TestTheCacheHoldsServiceAccountsThatOthersMade(t *testing.T) {
	for o, by := range CacheOptions().ByObject {
		if _, account := o.(*corev1.ServiceAccount); !account {
			continue
		}
		if by.Label != nil || !by.Field.Matches(fields.Set{"metadata.name": "default-editor"}) || by.Field.Matches(fields.Set{"metadata.name": "default"}) {
			t.Errorf("labels %v, fields %v: want default-editor whoever made it, and no default", by.Label, by.Field)
		}
		return
	}
	t.Error("nothing is said of service accounts")
}
