// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/podspec"
)

// Request is a pod that asks for devices by the name of an Accelerator.
type Request struct {
	// Name is of the Accelerator.
	Name string
	// Field is the path of the request, Template that of the pod's template.
	Field, Template string
	// Spec is of the pod as its user wrote it.
	Spec *corev1.PodSpec
	// Of is the Accelerator, nil where there is none of the name.
	Of  *v1alpha1.Accelerator
	Ask Ask
	// All are the Accelerators there are.
	All []v1alpha1.Accelerator
}

// Find is the Accelerator of a name, nil where there is none.
func Find(all []v1alpha1.Accelerator, name string) *v1alpha1.Accelerator {
	i := slices.IndexFunc(all, func(a v1alpha1.Accelerator) bool { return a.Name == name })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// Doubt is why a pod that asks for devices cannot be made.
type Doubt struct {
	// Status is False when it is known what is short, Unknown while it is being found out.
	Status          metav1.ConditionStatus
	Reason, Message string
}

// doubts are asked in order.
var doubts = []func(Request) (Doubt, bool){notFound, notLooked, notReady, unsatisfiable, contradicted, crowded}

// Doubt is the first reason why the pod cannot be made: it is not known what to ask for, or it can never run.
func (r Request) Doubt() (Doubt, bool) {
	for _, ask := range doubts {
		if d, raised := ask(r); raised {
			return d, true
		}
	}
	return Doubt{}, false
}

func notFound(r Request) (Doubt, bool) {
	return Doubt{metav1.ConditionFalse, v1alpha1.ReasonAcceleratorNotFound, fmt.Sprintf(
		"%s.name: there is no Accelerator %s: name another or create it; there %s.", r.Field, r.Name, named(r.All),
	)}, r.Of == nil
}

// named lists Accelerators by name.
func named(all []v1alpha1.Accelerator) string {
	const most = 8
	var found []string
	for i := range all {
		found = append(found, all[i].Name)
	}
	slices.Sort(found)
	switch n := len(found); {
	case n == 0:
		return "is none"
	case n == 1:
		return "is " + found[0]
	case n > most:
		return fmt.Sprintf("are %s and %d more", strings.Join(found[:most], ", "), n-most)
	default:
		return "are " + strings.Join(found, ", ")
	}
}

// notLooked: a status that speaks of another spec says nothing of this one. It takes a moment.
func notLooked(r Request) (Doubt, bool) {
	return Doubt{metav1.ConditionUnknown, v1alpha1.ReasonAcceleratorPending, fmt.Sprintf(
		"%s.name: Accelerator %s is new or has changed, and its devices are being counted.", r.Field, r.Of.Name,
	)}, !Looked(r.Of)
}

// unusable are the reasons for which nothing can be asked of an Accelerator.
var unusable = []string{v1alpha1.ReasonInvalidSelector, v1alpha1.ReasonDeviceClassNotFound, v1alpha1.ReasonClaimsNotServed}

func notReady(r Request) (Doubt, bool) {
	ready := meta.FindStatusCondition(r.Of.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || ready.Status != metav1.ConditionFalse || !slices.Contains(unusable, ready.Reason) {
		return Doubt{}, false
	}
	return Doubt{
		metav1.ConditionFalse, v1alpha1.ReasonAcceleratorNotReady,
		fmt.Sprintf("%s.name: Accelerator %s cannot be used: %s", r.Field, r.Of.Name, ready.Message),
	}, true
}

// unsatisfiable: no node can ever give a pod so many devices. The nearest that can be had is named.
func unsatisfiable(r Request) (Doubt, bool) {
	most, known := Most(r.Of)
	if !known || r.Ask.Count <= most {
		return Doubt{}, false
	}
	var advice []string
	message := fmt.Sprintf("%s.name: no node has devices of Accelerator %s", r.Field, r.Of.Name)
	if most > 0 {
		message = fmt.Sprintf("%s.count: no node has %d devices of Accelerator %s", r.Field, r.Ask.Count, r.Of.Name)
		advice = append(advice, fmt.Sprintf("ask for at most %d", most))
	}
	if other := Nearest(r.All, r.Ask.Count); other != nil {
		large, _ := Most(other)
		advice = append(advice, fmt.Sprintf("name Accelerator %s, which has nodes of %d", other.Name, large))
	}
	advice = append(advice, "set spec.devicesPerNode of the Accelerator if such nodes are made on demand")
	return Doubt{metav1.ConditionFalse, v1alpha1.ReasonAcceleratorUnsatisfiable, message + ": " + strings.Join(advice, ", or ") + "."}, true
}

// contradicted: the template sets what the Accelerator sets, to another value.
func contradicted(r Request) (Doubt, bool) {
	conflicts := podspec.Merge(r.Spec.DeepCopy(), Overlay(r.Of, r.Ask))
	if len(conflicts) == 0 {
		return Doubt{}, false
	}
	c := conflicts[0]
	return Doubt{metav1.ConditionFalse, v1alpha1.ReasonAcceleratorConflict, fmt.Sprintf(
		"%s.spec.%s is %s, and Accelerator %s sets it to %s: remove it from the template.", r.Template, c.Field, c.Have, r.Of.Name, c.Want,
	)}, true
}

// crowded: others hold every node, and devices are not shared with them.
func crowded(r Request) (Doubt, bool) {
	others := Crowded(r.Of, r.Ask.Namespace)
	return Doubt{metav1.ConditionFalse, v1alpha1.ReasonAcceleratorShared, fmt.Sprintf(
		"%s.name: Accelerator %s shares devices by %s within a Profile only, and others hold every node of it (%s): "+
			"wait for them, or let an administrator set spec.sharing.acrossProfiles to Allow.",
		r.Field, r.Of.Name, sharing(r.Of), strings.Join(others[:min(len(others), 8)], ", "),
	)}, len(others) > 0
}

func sharing(a *v1alpha1.Accelerator) v1alpha1.SharingMode {
	if a.Spec.Sharing == nil {
		return v1alpha1.SharingNone
	}
	return a.Spec.Sharing.Mode
}
