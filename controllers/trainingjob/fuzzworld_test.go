// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/health"
	"github.com/millrace-ml/millrace/internal/kueue"
	"github.com/millrace-ml/millrace/internal/names"
)

// regroup carries out what a plan says of groups: their schedulers take them in at once.
func (l *life) regroup(plan engine.Plan) { l.groups = regrouped(l.groups, plan, &l.made) }

// regrouped are the groups after a plan. made counts what was made.
func regrouped(groups []unstructured.Unstructured, plan engine.Plan, made *int) []unstructured.Unstructured {
	groups = slices.DeleteFunc(groups, func(g unstructured.Unstructured) bool {
		return slices.ContainsFunc(plan.Delete, func(s engine.Step) bool { return s.Object.GetUID() == g.GetUID() })
	})
	for _, g := range letIn(plan) {
		i := slices.IndexFunc(groups, func(old unstructured.Unstructured) bool { return old.GetName() == g.GetName() })
		if i >= 0 {
			groups[i].Object["spec"] = g.Object["spec"]
			continue
		}
		*made++
		g.SetUID(types.UID(fmt.Sprintf("group-%d", *made)))
		groups = append(groups, g)
	}
	return groups
}

// world is what the job sees: its pods and groups, its place in the queue, a PodDefault, and the Accelerator that its last role names, while it
// is there.
func (l *life) world() World {
	w := World{
		Pods: slices.Clone(l.pods), Served: slices.Clone(l.served), Groups: slices.Clone(l.groups), Nodes: slices.Clone(l.nodes), Healing: health.Default(),
	}
	// It changes with the label of the Accelerator, and no pod that exists may be touched by that.
	w.PodDefaults = []v1alpha1.PodDefault{{ObjectMeta: metav1.ObjectMeta{Name: "label"}, Spec: v1alpha1.PodDefaultSpec{
		Selector: &metav1.LabelSelector{}, ConflictPolicy: v1alpha1.ConflictOverride, Env: []corev1.EnvVar{{Name: "LABEL", Value: l.label}},
		NodeSelector: map[string]string{"disk": "ssd"},
	}}}
	if !l.bare {
		w.Accelerators = []v1alpha1.Accelerator{{
			ObjectMeta: metav1.ObjectMeta{Name: "a100"},
			Spec:       v1alpha1.AcceleratorSpec{Resource: "nvidia.com/gpu", NodeSelector: map[string]string{"gpu": l.label}},
			Status:     v1alpha1.AcceleratorStatus{Nodes: new(int32(1)), Shapes: []v1alpha1.NodeShape{{Devices: l.largest, Nodes: 1}}},
		}}
	}
	ofKueue := func(kind schema.GroupVersionKind) bool { return kind.Group == kueue.Group }
	switch {
	case l.queue == nil:
	case l.queue.gone:
		w.Served = slices.DeleteFunc(w.Served, ofKueue)
	default:
		w.Served = append(slices.DeleteFunc(w.Served, ofKueue), kueue.WorkloadKind, kueue.FlavorKind, kueue.PriorityKind)
		w.Queue = l.queue.world
	}
	return w
}

func (l *life) isIll(name string) bool {
	return slices.ContainsFunc(l.nodes, func(n corev1.Node) bool { return n.Name == name })
}

// keptAway: no pod is made that could go to a bad node.
func (l *life) keptAway(plan engine.Plan, node string) {
	l.t.Helper()
	for _, s := range plan.Create {
		p, ok := s.Object.(*corev1.Pod)
		if ok && !slices.Contains(strings.Split(p.Annotations[names.Avoids], ","), node) {
			l.t.Fatalf("pod %s may go to %s, which is bad", p.Name, node)
		}
	}
}

// breakOrMend changes the health of a node.
func (l *life) breakOrMend() {
	name := fmt.Sprintf("node-%d", l.dice.roll(3))
	if l.isIll(name) {
		l.nodes = slices.DeleteFunc(l.nodes, func(n corev1.Node) bool { return n.Name == name })
		return
	}
	cond := corev1.NodeCondition{Type: pick(l.dice, "KernelDeadlock", corev1.NodeReady), Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(l.now)}
	if cond.Type == corev1.NodeReady {
		cond.Status = pick(l.dice, corev1.ConditionFalse, corev1.ConditionUnknown)
	}
	l.nodes = append(l.nodes, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{cond}}})
}
