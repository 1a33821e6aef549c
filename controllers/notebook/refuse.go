// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"cmp"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
)

// Refuse writes into the status what the API server would not take. It is pure.
func Refuse(nb *v1alpha1.Notebook, refused []engine.Refusal) {
	slices.SortFunc(refused, func(a, b engine.Refusal) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	for _, r := range refused {
		if r.Verb == "patch" && r.Kind == "Pod" {
			refuseResize(nb, r)
			continue
		}
		message := fmt.Sprintf("%s %s could not be written: %s", r.Kind, r.Name, r.Message)
		switch r.Cause {
		case engine.Taken:
			reject(nb, v1alpha1.ReasonNameTaken, message+". Rename the notebook, or remove what is in the way.")
		case engine.Invalid:
			reject(nb, v1alpha1.ReasonRefused, message)
		case engine.Quota:
			hinder(nb, v1alpha1.ReasonQuotaExceeded, message)
		default:
			hinder(nb, v1alpha1.ReasonRefused, message)
		}
		return
	}
}

// refuseResize remembers what could not be changed in place: it is pending from the next pass on, and is not tried again.
func refuseResize(nb *v1alpha1.Notebook, r engine.Refusal) {
	nb.Status.ResizeRefused = &v1alpha1.ResizeRefusal{
		Resources: amounts(nb), Message: cmp.Or(clip(r.Message, 1024), string(r.Cause)),
	}
}

// reject says what only a change by somebody can mend. A server that runs goes on.
func reject(nb *v1alpha1.Notebook, reason, message string) {
	const again = "It is tried again, after half a minute at first."
	hinder(nb, reason, message)
	set(nb, condition(v1alpha1.ConditionAccepted, no, reason, message))
	set(nb, condition(v1alpha1.ConditionReconciling, no, reason, again))
	set(nb, condition(v1alpha1.ConditionStalled, yes, reason, message))
	nb.Status.Phase = v1alpha1.PhaseRejected
}

// hinder says what may pass by itself: a quota that is full, a webhook that does not answer.
func hinder(nb *v1alpha1.Notebook, reason, message string) {
	set(nb, condition(v1alpha1.ConditionReady, no, reason, message))
	set(nb, condition(v1alpha1.ConditionReconciling, yes, v1alpha1.ReasonProgressing, message))
}

func set(nb *v1alpha1.Notebook, c metav1.Condition) {
	i := slices.IndexFunc(nb.Status.Conditions, func(old metav1.Condition) bool { return old.Type == c.Type })
	if i < 0 {
		nb.Status.Conditions = append(nb.Status.Conditions, c)
		return
	}
	c.LastTransitionTime = nb.Status.Conditions[i].LastTransitionTime
	nb.Status.Conditions[i] = c
}
