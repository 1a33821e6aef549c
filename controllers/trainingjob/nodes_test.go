// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/millrace-ml/millrace/internal/health"
	"github.com/millrace-ml/millrace/internal/index"
)

func TestWhatMostNodesShowIsCountedOfAllNodes(t *testing.T) {
	for _, tc := range []struct{ broken, all, want int }{{0, 3, 0}, {1, 1, 0}, {2, 4, 0}, {3, 4, 1}} {
		t.Run(fmt.Sprintf("%d of %d", tc.broken, tc.all), func(t *testing.T) {
			nodes := fake.NewClientBuilder().WithIndex(&corev1.Node{}, index.UnwellNode, UnwellNode(health.Default()))
			for i := range tc.all {
				n := &corev1.Node{}
				n.Name = fmt.Sprintf("node-%d", i)
				if i < tc.broken {
					n.Status.Conditions = []corev1.NodeCondition{{Type: "GpuXidError", Status: corev1.ConditionTrue, Message: n.Name}}
				}
				nodes.WithObjects(n)
			}
			w := World{Healing: health.Default()}
			if err := w.observeNodes(t.Context(), nodes.Build()); err != nil {
				t.Fatal(err)
			}
			if len(w.Nodes) != tc.broken || len(w.Common) != tc.want {
				t.Errorf("%d nodes, common %v", len(w.Nodes), w.Common)
			}
		})
	}
}
