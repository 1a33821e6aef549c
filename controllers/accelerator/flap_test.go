// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/health"
)

// A monitor that words a condition anew each time changes no status.
func TestTheLimitIsToldInWordsThatStay(t *testing.T) {
	told := func(words string) []string {
		gpus := corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("8")}
		n := corev1.Node{Status: corev1.NodeStatus{Capacity: gpus, Allocatable: gpus, Conditions: []corev1.NodeCondition{
			{Type: "GpuXidError", Status: corev1.ConditionTrue, Reason: "Xid79", Message: words},
		}}}
		n.Name = "n1"
		w := World{Nodes: []corev1.Node{n}, Healing: health.Default()}
		w.Healing.Cordon = true
		see(&w)
		a := &v1alpha1.Accelerator{Spec: v1alpha1.AcceleratorSpec{Resource: "nvidia.com/gpu"}}
		Report(a, w, noon)
		var messages []string
		for _, c := range a.Status.Conditions {
			messages = append(messages, c.Reason+": "+c.Message)
		}
		return messages
	}
	if diff := gocmp.Diff(told("pid=17 fell off the bus"), told("pid=18 fell off the bus")); diff != "" {
		t.Errorf("the status changes with the words of the monitor:\n%s", diff)
	}
}
