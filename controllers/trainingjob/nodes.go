// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/health"
	"github.com/millrace-ml/millrace/internal/index"
)

// observeNodes reads the nodes that something is held against, which are few: what pods are on healthy ones costs nothing.
func (w *World) observeNodes(ctx context.Context, c client.Reader) error {
	var nodes corev1.NodeList
	// Nobody writes to what is read here, and a cluster in trouble has many of them.
	if err := c.List(ctx, &nodes, client.MatchingFields{index.UnwellNode: "true"}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("reading nodes: %w", err)
	}
	w.Nodes = nodes.Items
	if len(health.Common(w.Nodes, 0, w.Healing)) == 0 {
		return nil // no two show the same
	}
	var all corev1.NodeList
	if err := c.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("counting nodes: %w", err)
	}
	w.Common = health.Common(w.Nodes, len(all.Items), w.Healing)
	return nil
}

// deviceTaintRule is the kind of the rules by which an administrator taints devices that are allocated by claims.
var deviceTaintRule = schema.GroupVersionKind{Group: "resource.k8s.io", Version: "v1", Kind: "DeviceTaintRule"}

// observeDeviceTaints reads the rules when a pod was taken from its device: they say which device, and the pod does not.
func (w *World) observeDeviceTaints(ctx context.Context, offers engine.Offers) error {
	taken := func(p corev1.Pod) bool {
		return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.DisruptionTarget && c.Reason == health.DeviceTaint
		})
	}
	if offers == nil || !slices.ContainsFunc(w.Pods, taken) || !offers.Serves(deviceTaintRule) {
		return nil
	}
	rules := &unstructured.UnstructuredList{}
	rules.SetGroupVersionKind(deviceTaintRule)
	if err := offers.List(ctx, rules); err != nil {
		return fmt.Errorf("reading device taint rules: %w", err)
	}
	for i := range rules.Items {
		var rule resourcev1.DeviceTaintRule
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(rules.Items[i].Object, &rule); err != nil {
			return fmt.Errorf("reading device taint rule %s: %w", rules.Items[i].GetName(), err)
		}
		if selected := rule.Spec.DeviceSelector; selected != nil && rule.Spec.Taint.Effect == resourcev1.DeviceTaintEffectNoExecute {
			w.DeviceTaints = append(w.DeviceTaints, DeviceTaint{
				Rule: rule.Name, Taint: taintText(rule.Spec.Taint), Pool: ptr.Deref(selected.Pool, ""), Device: ptr.Deref(selected.Device, ""),
			})
		}
	}
	slices.SortFunc(w.DeviceTaints, func(a, b DeviceTaint) int { return cmp.Compare(a.Rule, b.Rule) })
	return nil
}

func taintText(t resourcev1.DeviceTaint) string {
	text := t.Key
	if t.Value != "" {
		text += "=" + t.Value
	}
	return text + ":" + string(t.Effect)
}

// UnwellNode is the index of nodes that are not healthy by a policy.
func UnwellNode(policy health.Policy) client.IndexerFunc {
	return func(o client.Object) []string {
		node, ok := o.(*corev1.Node)
		if !ok || health.Judge(health.Evidence{Node: node}, policy, time.Time{}).Verdict == health.Healthy {
			return nil
		}
		return []string{"true"}
	}
}

// judged lets through nodes of which something changed that they are judged by.
func judged(policy health.Policy) predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		old, now := e.ObjectOld.(*corev1.Node), e.ObjectNew.(*corev1.Node)
		return !health.Same(old, now, policy)
	}}
}

// jobsOn finds the jobs that have pods on a node, or something against it.
func jobsOn(c client.Reader) handler.MapFunc {
	return func(ctx context.Context, o client.Object) []reconcile.Request {
		var pods corev1.PodList
		var jobs v1alpha1.TrainingJobList
		if c.List(ctx, &pods, client.MatchingFields{index.JobNode: o.GetName()}) != nil ||
			c.List(ctx, &jobs, client.MatchingFields{index.JudgedNode: o.GetName()}) != nil {
			return nil // the cache has stopped
		}
		var found []types.NamespacedName
		for i := range pods.Items {
			p := &pods.Items[i]
			found = append(found, types.NamespacedName{Namespace: p.Namespace, Name: index.JobOf(p)})
		}
		for i := range jobs.Items {
			found = append(found, client.ObjectKeyFromObject(&jobs.Items[i]))
		}
		return requests(found)
	}
}

// requests are one for each of the names.
func requests(found []types.NamespacedName) []reconcile.Request {
	var all []reconcile.Request
	seen := map[types.NamespacedName]bool{}
	for _, name := range found {
		if !seen[name] {
			seen[name] = true
			all = append(all, reconcile.Request{NamespacedName: name})
		}
	}
	return all
}
