// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
	"fmt"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

func TestCrowded(t *testing.T) {
	type on struct {
		node, namespace string
		named           bool
	}
	for name, tc := range map[string]struct {
		pods []on
		want []string
	}{
		"nobody":                             {nil, nil},
		"one node of two":                    {[]on{{"n0", "b", true}}, nil},
		"both nodes":                         {[]on{{"n0", "b", true}, {"n1", "c", true}}, []string{"b", "c"}},
		"two that meet on one node":          {[]on{{"n0", "b", true}, {"n0", "c", true}}, nil},
		"one by the resource itself":         {[]on{{"n0", "b", true}, {"n1", "c", false}}, nil},
		"one node is one's own":              {[]on{{"n0", "b", true}, {"n1", "a", true}}, nil},
		"pods that asked for another's name": {[]on{{"n0", "b", false}, {"n1", "b", false}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			a := &v1alpha1.Accelerator{ObjectMeta: metav1.ObjectMeta{Name: "t4"}}
			a.Spec = v1alpha1.AcceleratorSpec{Resource: string(gpu), Sharing: &v1alpha1.Sharing{Mode: v1alpha1.SharingTimeSlice}}
			var pods []corev1.Pod
			for i, p := range tc.pods {
				pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(i), Namespace: p.namespace, Labels: map[string]string{}}}
				if p.named {
					pod.Labels[names.Accelerator] = a.Name
				}
				pod.Spec.NodeName, pod.Spec.Containers = p.node, []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: has(1)}}}
				pods = append(pods, pod)
			}
			Tally(&a.Status, []Supply{{Node: "n0", Capacity: 4, Allocatable: 4, Open: true}, {Node: "n1", Capacity: 4, Allocatable: 4, Open: true}}, Uses(a, pods))
			if diff := gocmp.Diff(tc.want, Crowded(a, "a")); diff != "" {
				t.Errorf("Crowded (-want +got):\n%s", diff)
			}
		})
	}
}
