// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"cmp"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
)

// Refuse writes into the status what the API server would not take. It is pure.
func Refuse(job *v1alpha1.TrainingJob, refused []engine.Refusal) {
	if ended(job) {
		return
	}
	slices.SortFunc(refused, func(a, b engine.Refusal) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	first := refused[0]
	message := fmt.Sprintf("%s %s could not be made: %s", first.Kind, first.Name, first.Message)
	switch first.Cause {
	case engine.Taken:
		message += ". Rename the job, or remove what is in the way."
		set(job, condition(v1alpha1.ConditionAccepted, no, v1alpha1.ReasonNameTaken, message), stuck(v1alpha1.ReasonNameTaken, message), idle(v1alpha1.ReasonNameTaken))
	case engine.Invalid:
		set(job, condition(v1alpha1.ConditionAccepted, no, v1alpha1.ReasonRefused, message), stuck(v1alpha1.ReasonRefused, message), idle(v1alpha1.ReasonRefused))
	default:
		// A quota that is full, a service account that is not there yet, a webhook that does not answer: it may pass.
		set(job, condition(v1alpha1.ConditionScheduled, no, reasonOf(first.Cause), message))
	}
	for _, kind := range []string{v1alpha1.ConditionRunning, v1alpha1.ConditionSucceeded} {
		set(job, condition(kind, statusOf(job, kind), reasonOf(first.Cause), message))
	}
	job.Status.Phase = phase(job)
}

func stuck(reason, message string) metav1.Condition {
	return condition(v1alpha1.ConditionStalled, yes, reason, message)
}

func idle(reason string) metav1.Condition {
	return condition(v1alpha1.ConditionReconciling, no, reason, "It is tried again, after half a minute at first.")
}

func reasonOf(c engine.Cause) string {
	switch c {
	case engine.Taken:
		return v1alpha1.ReasonNameTaken
	case engine.Quota:
		return v1alpha1.ReasonQuotaExceeded
	default:
		return v1alpha1.ReasonRefused
	}
}

func statusOf(job *v1alpha1.TrainingJob, kind string) metav1.ConditionStatus {
	for _, c := range job.Status.Conditions {
		if c.Type == kind {
			return c.Status
		}
	}
	return unknown
}
