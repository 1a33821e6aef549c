// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/accelerator"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/podspec"
)

// asking is a role that asks for devices of an Accelerator and has pods to be made.
type asking struct {
	role *framework.Role
	// field is the path of the request.
	field string
	// of is the Accelerator, nil where there is none of that name.
	of  *v1alpha1.Accelerator
	ask accelerator.Ask
	// all are the Accelerators there are.
	all []v1alpha1.Accelerator
}

// doubts are asked in order about each role that asks for devices.
var doubts = []func(asking) (wait, bool){notFound, notLooked, notReady, unsatisfiable, contradicted, crowded}

// lacksDevices: a pod that names an Accelerator cannot be made as long as it is not known what to ask for, or can never run.
func lacksDevices(s *state) (wait, bool) {
	for _, role := range s.asking() {
		for _, doubt := range doubts {
			if w, raised := doubt(role); raised {
				return w, true
			}
		}
	}
	return wait{}, false
}

// asking are the roles with pods to be made that ask for devices, as the job lists them.
func (s *state) asking() []asking {
	var all []asking
	for i, r := range s.job.Spec.Roles {
		role := s.layout.Find(r.Name)
		missing := func(r replica) bool { return r.Role == role && !r.current() && !r.done }
		if r.Accelerator != nil && slices.ContainsFunc(s.replicas, missing) {
			all = append(all, s.asks(role, fmt.Sprintf("spec.roles[%d].accelerator", i)))
		}
	}
	return all
}

func (s *state) asks(role *framework.Role, field string) asking {
	a := asking{role: role, field: field, all: s.world.Accelerators}
	i := slices.IndexFunc(a.all, func(a v1alpha1.Accelerator) bool { return a.Name == role.Accelerator.Name })
	if i < 0 {
		return a
	}
	a.of = &a.all[i]
	a.ask = accelerator.Ask{Count: role.Devices(), Container: role.Main, Namespace: s.job.Namespace}
	if _, content := accelerator.ClaimTemplate(a.of, a.ask.Count); content != "" {
		a.ask.Template = names.Claims(s.job.Name, role.Name, content)
	}
	return a
}

func notFound(a asking) (wait, bool) {
	return wait{status: no, reason: v1alpha1.ReasonAcceleratorNotFound, message: fmt.Sprintf(
		"%s.name: there is no Accelerator %s: name another or create it; there %s.", a.field, a.role.Accelerator.Name, named(a.all),
	)}, a.of == nil
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
func notLooked(a asking) (wait, bool) {
	return wait{
		status: unknown, reason: v1alpha1.ReasonAcceleratorPending,
		message: fmt.Sprintf("%s.name: Accelerator %s is new or has changed, and its devices are being counted.", a.field, a.of.Name),
	}, !accelerator.Looked(a.of)
}

// unusable are the reasons for which nothing can be asked of an Accelerator.
var unusable = []string{v1alpha1.ReasonInvalidSelector, v1alpha1.ReasonDeviceClassNotFound, v1alpha1.ReasonClaimsNotServed}

func notReady(a asking) (wait, bool) {
	ready := meta.FindStatusCondition(a.of.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || ready.Status != no || !slices.Contains(unusable, ready.Reason) {
		return wait{}, false
	}
	return wait{
		status: no, reason: v1alpha1.ReasonAcceleratorNotReady,
		message: fmt.Sprintf("%s.name: Accelerator %s cannot be used: %s", a.field, a.of.Name, ready.Message),
	}, true
}

// unsatisfiable: no node can ever give a pod so many devices. The nearest that can be had is named.
func unsatisfiable(a asking) (wait, bool) {
	most, known := accelerator.Most(a.of)
	if !known || a.ask.Count <= most {
		return wait{}, false
	}
	var advice []string
	message := fmt.Sprintf("%s.name: no node has devices of Accelerator %s", a.field, a.of.Name)
	if most > 0 {
		message = fmt.Sprintf("%s.count: no node has %d devices of Accelerator %s", a.field, a.ask.Count, a.of.Name)
		advice = append(advice, fmt.Sprintf("ask for at most %d", most))
	}
	if other := accelerator.Nearest(a.all, a.ask.Count); other != nil {
		large, _ := accelerator.Most(other)
		advice = append(advice, fmt.Sprintf("name Accelerator %s, which has nodes of %d", other.Name, large))
	}
	advice = append(advice, "set spec.devicesPerNode of the Accelerator if such nodes are made on demand")
	return wait{
		status: no, reason: v1alpha1.ReasonAcceleratorUnsatisfiable, message: message + ": " + strings.Join(advice, ", or ") + ".",
	}, true
}

// contradicted: the template sets what the Accelerator sets, to another value.
func contradicted(a asking) (wait, bool) {
	conflicts := podspec.Merge(a.role.Template.Spec.DeepCopy(), accelerator.Overlay(a.of, a.ask))
	if len(conflicts) == 0 {
		return wait{}, false
	}
	c := conflicts[0]
	return wait{status: no, reason: v1alpha1.ReasonAcceleratorConflict, message: fmt.Sprintf(
		"%s.template.spec.%s is %s, and Accelerator %s sets it to %s: remove it from the template.",
		strings.TrimSuffix(a.field, ".accelerator"), c.Field, c.Have, a.of.Name, c.Want,
	)}, true
}

// crowded: others hold every node, and devices are not shared with them.
func crowded(a asking) (wait, bool) {
	others := accelerator.Crowded(a.of, a.ask.Namespace)
	return wait{status: no, reason: v1alpha1.ReasonAcceleratorShared, message: fmt.Sprintf(
		"%s.name: Accelerator %s shares devices by %s within a Profile only, and others hold every node of it (%s): "+
			"wait for them, or let an administrator set spec.sharing.acrossProfiles to Allow.",
		a.field, a.of.Name, sharing(a.of), strings.Join(others[:min(len(others), 8)], ", "),
	)}, len(others) > 0
}

func sharing(a *v1alpha1.Accelerator) v1alpha1.SharingMode {
	if a.Spec.Sharing == nil {
		return v1alpha1.SharingNone
	}
	return a.Spec.Sharing.Mode
}

// giveDevices completes a pod with what its role's Accelerator stands for now.
func giveDevices(s *state, m framework.Member, p *corev1.Pod) {
	if m.Role.Accelerator == nil {
		return
	}
	a := s.asks(m.Role, "")
	if a.of == nil {
		return
	}
	podspec.Merge(&p.Spec, accelerator.Overlay(a.of, a.ask))
	maps.Copy(p.Labels, accelerator.Labels(a.of, s.job.Namespace))
}

// reformed is true for a pod for which there is no node, and that would be another by what its Accelerator means now, as far as a pod can
// be made at all. None of those that restart with it, or are placed with it, may have a node: what runs is never touched, and a gang is of
// one make. In a queue the quota is for what was asked for, and Kueue evicts a job that does not start.
func (s *state) reformed(r replica) (string, bool) {
	if _, waits := unschedulable(r.pod); !waits || r.Role.Accelerator == nil || queueOf(s.job) != "" {
		return "", false
	}
	a, made := s.asks(r.Role, ""), r.pod.Labels[names.AcceleratorForm]
	if made == "" || slices.ContainsFunc(doubts, func(doubt func(asking) (wait, bool)) bool { _, raised := doubt(a); return raised }) {
		return "", false
	}
	together := s.job.Spec.Scheduling != nil && s.job.Spec.Scheduling.Gang != nil
	placed := func(other replica) bool {
		return (together || other.unit == r.unit) && other.pod != nil && hasNode(other.pod)
	}
	return a.of.Name, made != accelerator.Form(a.of) && !slices.ContainsFunc(s.replicas, placed)
}

// claims plans the templates of the claims by which pods to be made get their devices, when it is known which these are.
func (s *state) claims(plan *engine.Plan) {
	for _, a := range s.asking() {
		if spec, _ := accelerator.ClaimTemplate(a.of, a.ask.Count); spec != nil {
			plan.Create = append(plan.Create, engine.Step{Object: &resourcev1.ResourceClaimTemplate{
				ObjectMeta: metav1.ObjectMeta{Name: a.ask.Template, Namespace: s.job.Namespace, Labels: ownLabels(s.job)},
				Spec:       *spec,
			}})
		}
	}
}
