// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/accelerator"
	"github.com/millrace-ml/millrace/internal/engine"
)

// Report writes what there is of an Accelerator into its status. It is pure.
func Report(a *v1alpha1.Accelerator, w World, now time.Time) {
	nodes, err := accelerator.Nodes(a, w.Nodes)
	switch class := a.Spec.DeviceClass; {
	case err != nil:
		stall(a, v1alpha1.ReasonInvalidSelector, err.Error()+".")
	case class != nil && !w.Served:
		stall(a, v1alpha1.ReasonClaimsNotServed, "spec.deviceClass: the cluster does not serve resource.k8s.io/v1: name a spec.resource, or upgrade the cluster.")
	case class != nil && !w.Found:
		stall(a, v1alpha1.ReasonDeviceClassNotFound, fmt.Sprintf("spec.deviceClass.name: there is no DeviceClass %s: create it or name another.", class.Name))
	case w.Wrong != "":
		stall(a, v1alpha1.ReasonInvalidSelector, w.Wrong)
	default:
		accelerator.Tally(&a.Status, supplies(a, w, nodes), uses(a, w))
		set(a, ready(a, nodes), healthy(a), cordoned(a, w, now), settled(v1alpha1.ConditionReconciling), settled(v1alpha1.ConditionStalled))
	}
}

func supplies(a *v1alpha1.Accelerator, w World, nodes []*corev1.Node) []accelerator.Supply {
	if a.Spec.DeviceClass != nil {
		return accelerator.DeviceSupplies(a, nodes, w.Devices)
	}
	return accelerator.Supplies(a, nodes)
}

func uses(a *v1alpha1.Accelerator, w World) []accelerator.Use {
	if a.Spec.DeviceClass != nil {
		return accelerator.ClaimUses(w.Devices, w.Claims)
	}
	return accelerator.Uses(a, w.Pods)
}

// stall says what only a change by somebody can mend. Nothing is known of the devices then.
func stall(a *v1alpha1.Accelerator, reason, message string) {
	a.Status = v1alpha1.AcceleratorStatus{Conditions: a.Status.Conditions}
	set(
		a,
		condition(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message),
		condition(v1alpha1.ConditionDevicesHealthy, metav1.ConditionUnknown, reason, "Nothing is known of the devices."),
		condition(v1alpha1.ConditionNodesCordoned, metav1.ConditionUnknown, reason, "Nothing is known of the devices."),
		condition(v1alpha1.ConditionReconciling, metav1.ConditionFalse, reason, message),
		condition(v1alpha1.ConditionStalled, metav1.ConditionTrue, reason, message),
	)
}

// ready: pods that ask can have devices, now or when a node was made for them.
func ready(a *v1alpha1.Accelerator, nodes []*corev1.Node) metav1.Condition {
	kind, what := v1alpha1.ConditionReady, a.Spec.Resource
	if a.Spec.DeviceClass != nil {
		what = "DeviceClass " + a.Spec.DeviceClass.Name
	}
	switch {
	case len(a.Status.Shapes) > 0:
		return condition(kind, metav1.ConditionTrue, v1alpha1.ReasonDevicesFound, fmt.Sprintf("Nodes have devices of %s.", what))
	case a.Spec.DevicesPerNode > 0:
		return condition(kind, metav1.ConditionTrue, v1alpha1.ReasonOnDemand, "No node has devices now; spec.devicesPerNode says that nodes are made on demand.")
	case len(nodes) == 0:
		return condition(kind, metav1.ConditionFalse, v1alpha1.ReasonNoNodes, "spec.nodeSelector and spec.nodeAffinity: no node has these labels.")
	default:
		return condition(kind, metav1.ConditionFalse, v1alpha1.ReasonNoDevices, fmt.Sprintf("No node with these labels has devices of %s: is its driver or device plugin running?", what))
	}
}

const (
	// named is how many nodes a message names.
	named = 5
	// maxCordoned is the schema's bound on status.cordonedNodes.
	maxCordoned = 100
)

func healthy(a *v1alpha1.Accelerator) metav1.Condition {
	var bad []string
	for _, n := range a.Status.UnhealthyNodes {
		bad = append(bad, fmt.Sprintf("%s (%d)", n.Name, n.Devices))
	}
	if len(bad) == 0 {
		return condition(v1alpha1.ConditionDevicesHealthy, metav1.ConditionTrue, v1alpha1.ReasonAllHealthy, "No device is known to be broken.")
	}
	return condition(v1alpha1.ConditionDevicesHealthy, metav1.ConditionFalse, v1alpha1.ReasonUnhealthyDevices, "Devices are broken on "+listed(bad)+".")
}

// listed names the first few of many nodes.
func listed(all []string) string {
	if len(all) <= named {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more nodes", strings.Join(all[:named], ", "), len(all)-named)
}

// cordoned tells which nodes are cordoned, and why others are not.
func cordoned(a *v1alpha1.Accelerator, w World, now time.Time) metav1.Condition {
	status, names := metav1.ConditionFalse, record(a, w)
	if len(names) > 0 {
		status = metav1.ConditionTrue
	}
	say := func(reason, message string) metav1.Condition {
		return condition(v1alpha1.ConditionNodesCordoned, status, reason, message)
	}
	if !w.Healing.Cordon {
		return say(v1alpha1.ReasonCordonNever, "healing.cordon of the manager's configuration is Never."+theirs(names))
	}
	_, over := candidates(a, w, now)
	switch {
	case len(over) > 0:
		return say(v1alpha1.ReasonCordonLimit, fmt.Sprintf(
			"%s would be cordoned too, and healing.maxCordonedPercent (%d) does not let more of the %d nodes be: see what is wrong with them.",
			listed(each(over)), w.Healing.MaxCordonedPercent, *a.Status.Nodes,
		))
	case len(names) > 0:
		return say(v1alpha1.ReasonCordoned, "Nodes are cordoned because they are bad: "+listed(names)+".")
	}
	return say(v1alpha1.ReasonNoneCordoned, "No node is bad enough to be cordoned.")
}

// theirs is what becomes of nodes that were cordoned when that was allowed.
func theirs(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return " What it cordoned before stays so until somebody uncordons it: " + listed(names) + "."
}

// each names nodes, and what is wrong with them without the words of a monitor, which may change all the time.
func each(all []suspect) []string {
	var found []string
	for _, s := range all {
		evidence, _, _ := strings.Cut(s.Evidence, ": ")
		found = append(found, fmt.Sprintf("%s (%s)", s.Name, evidence))
	}
	return found
}

// record lists the nodes that were cordoned for an Accelerator, and returns them in words.
func record(a *v1alpha1.Accelerator, w World) []string {
	a.Status.CordonedNodes = nil
	var words []string
	for i := range w.Nodes {
		n := &w.Nodes[i]
		m := MarkOf(n)
		if m == nil || m.Accelerator != a.Name || m.Released || !n.Spec.Unschedulable {
			continue
		}
		words = append(words, fmt.Sprintf("%s (%s)", n.Name, m.Evidence))
		a.Status.CordonedNodes = append(a.Status.CordonedNodes, v1alpha1.CordonedNode{Name: n.Name, Reason: m.Reason, Evidence: m.Evidence, Since: &m.Since})
	}
	slices.Sort(words)
	slices.SortFunc(a.Status.CordonedNodes, func(a, b v1alpha1.CordonedNode) int { return cmp.Compare(a.Name, b.Name) })
	a.Status.CordonedNodes = a.Status.CordonedNodes[:min(len(a.Status.CordonedNodes), maxCordoned)]
	return words
}

// Refuse says that nodes could not be cordoned: the permission is apart from the others, in a component of the installation.
func Refuse(a *v1alpha1.Accelerator, refused []engine.Refusal) {
	for i := range a.Status.Conditions {
		c := &a.Status.Conditions[i]
		if c.Type == v1alpha1.ConditionNodesCordoned {
			c.Reason = v1alpha1.ReasonCordonForbidden
			c.Message = fmt.Sprintf("Node %s could not be changed: %s: install config/components/cordon, or set healing.cordon to Never.", refused[0].Name, refused[0].Message)
		}
	}
}

// cordons counts the nodes that were cordoned and uncordoned between two statuses, by the kind of evidence.
func cordons(before, after *v1alpha1.Accelerator) []engine.Count {
	var all []engine.Count
	add := func(what string, these, those []v1alpha1.CordonedNode) {
		for _, n := range these {
			if !slices.ContainsFunc(those, func(o v1alpha1.CordonedNode) bool { return o.Name == n.Name }) {
				all = append(all, engine.Count{What: what, Variant: n.Reason, Times: 1})
			}
		}
	}
	add("cordoned", after.Status.CordonedNodes, before.Status.CordonedNodes)
	add("uncordoned", before.Status.CordonedNodes, after.Status.CordonedNodes)
	return all
}

func settled(kind string) metav1.Condition {
	return condition(kind, metav1.ConditionFalse, v1alpha1.ReasonCounted, "The devices are counted.")
}

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

// set puts conditions in their fixed order, replacing those of the same type.
func set(a *v1alpha1.Accelerator, conditions ...metav1.Condition) {
	for i := range conditions {
		c := &conditions[i]
		old := slices.IndexFunc(a.Status.Conditions, func(old metav1.Condition) bool { return old.Type == c.Type })
		if old >= 0 {
			c.LastTransitionTime = a.Status.Conditions[old].LastTransitionTime
		}
	}
	a.Status.Conditions = conditions
}

// canWait is true when only numbers changed that nobody waits for.
func canWait(before, after *v1alpha1.Accelerator) bool {
	same := func(a, b metav1.Condition) bool {
		return a.Status == b.Status && a.Reason == b.Reason && a.Message == b.Message
	}
	return before.Status.ObservedGeneration == after.Status.ObservedGeneration &&
		slices.EqualFunc(before.Status.Conditions, after.Status.Conditions, same) &&
		before.Status.TakenNodes == after.Status.TakenNodes &&
		equality.Semantic.DeepEqual(before.Status.Shapes, after.Status.Shapes)
}
