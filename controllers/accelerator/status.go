// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
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

// Plan of an Accelerator is empty: it makes nothing.
func Plan(*v1alpha1.Accelerator, World, time.Time) engine.Plan { return engine.Plan{} }

// Report writes what there is of an Accelerator into its status. It is pure.
func Report(a *v1alpha1.Accelerator, w World, _ time.Time) {
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
		supplies, uses := count(a, w, nodes)
		accelerator.Tally(&a.Status, supplies, uses)
		set(a, ready(a, nodes), healthy(a), settled(v1alpha1.ConditionReconciling), settled(v1alpha1.ConditionStalled))
	}
}

func count(a *v1alpha1.Accelerator, w World, nodes []*corev1.Node) ([]accelerator.Supply, []accelerator.Use) {
	if a.Spec.DeviceClass != nil {
		return accelerator.DeviceSupplies(a, nodes, w.Devices), accelerator.ClaimUses(w.Devices, w.Claims)
	}
	return accelerator.Supplies(a, nodes), accelerator.Uses(a, w.Pods)
}

// stall says what only a change by somebody can mend. Nothing is known of the devices then.
func stall(a *v1alpha1.Accelerator, reason, message string) {
	a.Status = v1alpha1.AcceleratorStatus{Conditions: a.Status.Conditions}
	set(
		a,
		condition(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message),
		condition(v1alpha1.ConditionDevicesHealthy, metav1.ConditionUnknown, reason, "Nothing is known of the devices."),
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

// named is how many nodes a message names.
const named = 5

func healthy(a *v1alpha1.Accelerator) metav1.Condition {
	var bad []string
	for _, n := range a.Status.UnhealthyNodes {
		bad = append(bad, fmt.Sprintf("%s (%d)", n.Name, n.Devices))
	}
	if len(bad) == 0 {
		return condition(v1alpha1.ConditionDevicesHealthy, metav1.ConditionTrue, v1alpha1.ReasonAllHealthy, "No device is known to be broken.")
	}
	more := ""
	if len(bad) > named {
		bad, more = bad[:named], fmt.Sprintf(" and %d more nodes", len(bad)-named)
	}
	return condition(
		v1alpha1.ConditionDevicesHealthy, metav1.ConditionFalse, v1alpha1.ReasonUnhealthyDevices,
		fmt.Sprintf("Devices are broken on %s%s.", strings.Join(bad, ", "), more),
	)
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
