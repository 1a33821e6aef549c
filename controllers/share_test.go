// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"fmt"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// decoded is a copy of an object with strings of its own, as a watch makes it.
func decoded[T any](t *testing.T, of *T) *T {
	t.Helper()
	raw, err := json.Marshal(of)
	if err != nil {
		t.Fatal(err)
	}
	fresh := new(T)
	if err := json.Unmarshal(raw, fresh); err != nil {
		t.Fatal(err)
	}
	return fresh
}

func finishedJob() *v1alpha1.TrainingJob {
	return &v1alpha1.TrainingJob{
		ObjectMeta: metav1.ObjectMeta{
			Name: "digits", Namespace: "team", Labels: map[string]string{"app": "digits"},
			Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: "{}", names.Heartbeat: "now"},
		},
		Spec: v1alpha1.TrainingJobSpec{Framework: v1alpha1.PyTorch, Roles: []v1alpha1.Role{{
			Name:     "Master",
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "pytorch", Image: "digits:dev"}}}},
		}}},
		Status: v1alpha1.TrainingJobStatus{Phase: v1alpha1.PhaseSucceeded, Conditions: []metav1.Condition{{
			Type: v1alpha1.ConditionSucceeded, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonFinished, Message: "The job has succeeded.",
		}}},
	}
}

func runningPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "digits-master-0", Namespace: "team", Labels: map[string]string{names.Role: "master", "app": "user's"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "TrainingJob", Name: "digits", UID: "uid"}},
		},
		Spec: corev1.PodSpec{NodeName: "node-1", RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "pytorch", Image: "digits:dev"}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning,
			Conditions: []corev1.PodCondition{
				{Type: corev1.PodInitialized, Status: corev1.ConditionTrue},
				{Type: corev1.ContainersReady, Status: corev1.ConditionTrue},
				{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "ContainersNotReady", Message: "containers with unready status"},
			},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "pytorch", Ready: true, ImageID: "sha256:1"}},
		},
	}
}

// same is true of strings that share their bytes.
func same(a, b string) bool { return a == b && unsafe.StringData(a) == unsafe.StringData(b) }

func TestJobsShareTheirStrings(t *testing.T) {
	p := newPool()
	a, b := decoded(t, finishedJob()), decoded(t, finishedJob())
	for _, job := range []*v1alpha1.TrainingJob{a, b} {
		if _, err := p.job(job); err != nil {
			t.Fatal(err)
		}
	}
	want := finishedJob()
	delete(want.Annotations, corev1.LastAppliedConfigAnnotation)
	if diff := cmp.Diff(want, b); diff != "" {
		t.Errorf("the job (-want +got):\n%s", diff)
	}
	ours, theirs := a.Status.Conditions[0], b.Status.Conditions[0]
	for of, pair := range map[string][2]string{
		"reason": {ours.Reason, theirs.Reason}, "message": {ours.Message, theirs.Message}, "namespace": {a.Namespace, b.Namespace},
		"image": {a.Spec.Roles[0].Template.Spec.Containers[0].Image, b.Spec.Roles[0].Template.Spec.Containers[0].Image},
	} {
		if !same(pair[0], pair[1]) {
			t.Errorf("the %s is in memory twice", of)
		}
	}
}

func TestPodsAreStrippedAndShareTheirStrings(t *testing.T) {
	p := newPool()
	a, b := decoded(t, runningPod()), decoded(t, runningPod())
	for range 2 { // a second time changes nothing
		for _, pod := range []*corev1.Pod{a, b} {
			if _, err := p.pod(pod); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := runningPod()
	delete(want.Labels, "app")
	want.Spec.Containers[0].Image, want.Status.ContainerStatuses[0].ImageID = "", ""
	want.Spec.InitContainers, want.Status.InitContainerStatuses = []corev1.Container{}, []corev1.ContainerStatus{}
	want.Status.Conditions = want.Status.Conditions[2:]
	if diff := cmp.Diff(want, b); diff != "" {
		t.Errorf("the pod (-want +got):\n%s", diff)
	}
	if !same(string(a.OwnerReferences[0].UID), string(b.OwnerReferences[0].UID)) || !same(a.Spec.NodeName, b.Spec.NodeName) {
		t.Error("the owner's UID or the node's name is in memory twice")
	}
}

func TestOtherObjectsPassThePool(t *testing.T) {
	p := newPool()
	for _, transform := range []func(any) (any, error){p.pod, p.job} {
		if got, err := transform("gone"); err != nil || got != "gone" {
			t.Errorf("transformed to %v, %v", got, err)
		}
	}
}

func TestPoolIsBounded(t *testing.T) {
	p := newPool()
	for i := range 3 * pooled {
		if s := fmt.Sprint(i); p.of(s) != s {
			t.Fatalf("%s became another string", s)
		}
	}
	if len(p.known) > pooled {
		t.Errorf("%d strings are kept, want at most %d", len(p.known), pooled)
	}
}
