// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package condition writes the conditions of Millrace's objects. The engine gives them their times.
package condition

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Holder is an object with conditions.
type Holder interface {
	GetConditions() []metav1.Condition
	SetConditions([]metav1.Condition)
}

// Set replaces the condition of a type, or adds it at the end.
func Set(o Holder, kind string, status metav1.ConditionStatus, reason, message string) {
	all := slices.Clone(o.GetConditions())
	i := slices.IndexFunc(all, func(c metav1.Condition) bool { return c.Type == kind })
	if i < 0 {
		i, all = len(all), append(all, metav1.Condition{Type: kind})
	}
	all[i].Status, all[i].Reason, all[i].Message = status, reason, message
	o.SetConditions(all)
}

// Get is the condition of a type; Unknown when it is not there.
func Get(o Holder, kind string) metav1.Condition {
	for _, c := range o.GetConditions() {
		if c.Type == kind {
			return c
		}
	}
	return metav1.Condition{Type: kind, Status: metav1.ConditionUnknown}
}

// Decided is true when the condition is True or False.
func Decided(o Holder, kind string) bool { return Get(o, kind).Status != metav1.ConditionUnknown }

// Truth is the status of something that is so or not.
func Truth(yes bool) metav1.ConditionStatus {
	if yes {
		return metav1.ConditionTrue
	}
	return metav1.ConditionFalse
}
