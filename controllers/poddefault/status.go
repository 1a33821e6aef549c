// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package poddefault

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/poddefault"
)

const (
	yes = metav1.ConditionTrue
	no  = metav1.ConditionFalse
)

// listed is how many workloads a status names, named how many a message does, longest how long a conflict is told.
const (
	listed  = 50
	named   = 3
	longest = 1024
)

// Plan of a PodDefault is empty: it makes nothing.
func Plan(*v1alpha1.PodDefault, World, time.Time) engine.Plan { return engine.Plan{} }

// Report writes which pods a PodDefault is for into its status. It is pure.
func Report(d *v1alpha1.PodDefault, w World, _ time.Time) {
	if _, err := metav1.LabelSelectorAsSelector(d.Spec.Selector); err != nil {
		stall(d, v1alpha1.ReasonInvalidSelector, fmt.Sprintf("spec.selector: %v.", err))
		return
	}
	workloads := matching(d, w)
	conflicted := slices.IndexFunc(workloads, func(m v1alpha1.MatchedWorkload) bool { return m.Conflict == "" })
	if conflicted < 0 {
		conflicted = len(workloads)
	}
	pods := 0
	for i := range w.Pods {
		if poddefault.Matches(d, w.Pods[i].Labels) {
			pods++
		}
	}
	d.Status.Matched, d.Status.Conflicted, d.Status.OtherPods = new(int32(len(workloads))), new(int32(conflicted)), new(int32(pods))
	set(d, condition(v1alpha1.ConditionReady, yes, v1alpha1.ReasonInUse, "Pods that are made from now on get it."),
		contradictions(workloads[:conflicted]), admission(w),
		condition(v1alpha1.ConditionReconciling, no, v1alpha1.ReasonInUse, "Its pods are known."),
		condition(v1alpha1.ConditionStalled, no, v1alpha1.ReasonInUse, "Its pods are known."))
	d.Status.Workloads = workloads[:min(len(workloads), listed)]
}

// matching are the workloads of a PodDefault, those in conflict first.
func matching(d *v1alpha1.PodDefault, w World) []v1alpha1.MatchedWorkload {
	var all []v1alpha1.MatchedWorkload
	for _, of := range w.workloads() {
		if matched, conflict := w.meets(d, of); matched {
			all = append(all, v1alpha1.MatchedWorkload{Kind: of.kind, Name: of.name, Conflict: strings.ToValidUTF8(conflict[:min(len(conflict), longest)], "")})
		}
	}
	conflictsFirst := func(a, b v1alpha1.MatchedWorkload) int {
		switch {
		case a.Conflict != "" && b.Conflict == "":
			return -1
		case a.Conflict == "" && b.Conflict != "":
			return 1
		}
		return 0
	}
	slices.SortFunc(all, func(a, b v1alpha1.MatchedWorkload) int {
		return cmp.Or(conflictsFirst(a, b), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return all
}

func contradictions(of []v1alpha1.MatchedWorkload) metav1.Condition {
	if len(of) == 0 {
		return condition(v1alpha1.ConditionConflictFree, yes, v1alpha1.ReasonNoConflicts, "No workload contradicts it.")
	}
	var all []string
	for _, m := range of[:min(len(of), named)] {
		all = append(all, m.Kind+" "+m.Name)
	}
	more := ""
	if len(of) > named {
		more = fmt.Sprintf(" and %d more", len(of)-named)
	}
	return condition(v1alpha1.ConditionConflictFree, no, v1alpha1.ReasonConflicts, fmt.Sprintf(
		"%s%s cannot have it and make no new pods: status.workloads[].conflict says why.", strings.Join(all, ", "), more,
	))
}

// admission says whether pods that are not Millrace's get it too.
func admission(w World) metav1.Condition {
	const kind = v1alpha1.ConditionAdmission
	switch {
	case !w.Served:
		return condition(kind, no, v1alpha1.ReasonPolicyNotServed,
			"The cluster does not serve MutatingAdmissionPolicy of admissionregistration.k8s.io/v1: only pods that Millrace makes get it.")
	case !w.Installed:
		return condition(kind, no, v1alpha1.ReasonPolicyNotInstalled,
			"Only pods that Millrace makes get it: for others an administrator adds config/components/poddefault-admission.")
	}
	return condition(kind, yes, v1alpha1.ReasonPolicyInstalled, "Pods of others get it if they have the label millrace.dev/poddefaults: \"true\" when they are made.")
}

// stall says what only a change of the PodDefault can mend.
func stall(d *v1alpha1.PodDefault, reason, message string) {
	d.Status.Workloads, d.Status.Matched, d.Status.Conflicted, d.Status.OtherPods = nil, nil, nil, nil
	set(d, condition(v1alpha1.ConditionReady, no, reason, message),
		condition(v1alpha1.ConditionConflictFree, metav1.ConditionUnknown, reason, message),
		condition(v1alpha1.ConditionAdmission, metav1.ConditionUnknown, reason, message),
		condition(v1alpha1.ConditionReconciling, no, reason, message), condition(v1alpha1.ConditionStalled, yes, reason, message))
}

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

// set puts conditions in their fixed order, replacing those of the same type.
func set(d *v1alpha1.PodDefault, conditions ...metav1.Condition) {
	for i := range conditions {
		c := &conditions[i]
		old := slices.IndexFunc(d.Status.Conditions, func(old metav1.Condition) bool { return old.Type == c.Type })
		if old >= 0 {
			c.LastTransitionTime = d.Status.Conditions[old].LastTransitionTime
		}
	}
	d.Status.Conditions = conditions
}

// canWait is true when only numbers and names changed that nobody waits for.
func canWait(before, after *v1alpha1.PodDefault) bool {
	same := func(a, b metav1.Condition) bool { return a.Status == b.Status && a.Reason == b.Reason }
	return before.Status.ObservedGeneration == after.Status.ObservedGeneration &&
		slices.EqualFunc(before.Status.Conditions, after.Status.Conditions, same)
}
