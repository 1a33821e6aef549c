// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/internal/accelerator"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/podspec"
)

// lacksDevices: a pod that names an Accelerator cannot be made as long as it is not known what to ask for, or can never run.
func lacksDevices(s *state) (wait, bool) {
	for _, request := range s.asking() {
		if d, raised := request.Doubt(); raised {
			return wait{status: d.Status, reason: d.Reason, message: d.Message}, true
		}
	}
	return wait{}, false
}

// asking are the requests of roles with pods to be made that ask for devices, as the job lists them.
func (s *state) asking() []accelerator.Request {
	var all []accelerator.Request
	for i, r := range s.job.Spec.Roles {
		role := s.layout.Find(r.Name)
		missing := func(r replica) bool { return r.Role == role && !r.current() && !r.done }
		if r.Accelerator != nil && slices.ContainsFunc(s.replicas, missing) {
			all = append(all, s.asks(role, fmt.Sprintf("spec.roles[%d]", i)))
		}
	}
	return all
}

// asks is what a role asks for; path is the role's.
func (s *state) asks(role *framework.Role, path string) accelerator.Request {
	r := accelerator.Request{
		Name: role.Accelerator.Name, Field: path + ".accelerator", Template: path + ".template", Spec: &role.Template.Spec,
		Of: accelerator.Find(s.world.Accelerators, role.Accelerator.Name), All: s.world.Accelerators,
	}
	if r.Of == nil {
		return r
	}
	r.Ask = accelerator.Ask{Count: role.Devices(), Container: role.Main, Namespace: s.job.Namespace}
	if _, content := accelerator.ClaimTemplate(r.Of, r.Ask.Count); content != "" {
		r.Ask.Template = names.Claims(s.job.Name, role.Name, content)
	}
	return r
}

// giveDevices completes a pod with what its role's Accelerator stands for now.
func giveDevices(s *state, m framework.Member, p *corev1.Pod) {
	if m.Role.Accelerator == nil {
		return
	}
	a := s.asks(m.Role, "")
	if a.Of == nil {
		return
	}
	podspec.Merge(&p.Spec, accelerator.Overlay(a.Of, a.Ask))
	maps.Copy(p.Labels, accelerator.Labels(a.Of, s.job.Namespace))
}

// reformed is true for a pod for which there is no node, and that would be another by what its Accelerator means now, as far as a pod can
// be made at all. None of those that restart with it, or are placed with it, may have a node: what runs is never touched, and a gang is of
// one make. In a queue of Kueue the quota is for what was asked for, and Kueue evicts a job that does not start.
func (s *state) reformed(r replica) (string, bool) {
	if _, waits := unschedulable(r.pod); !waits || r.Role.Accelerator == nil || inKueue(s.job, s.world) {
		return "", false
	}
	a, made := s.asks(r.Role, ""), r.pod.Labels[names.AcceleratorForm]
	if _, raised := a.Doubt(); raised || made == "" {
		return "", false
	}
	together := s.job.Spec.Scheduling != nil && s.job.Spec.Scheduling.Gang != nil
	placed := func(other replica) bool {
		return (together || other.unit == r.unit) && other.pod != nil && hasNode(other.pod)
	}
	return a.Of.Name, made != accelerator.Form(a.Of) && !slices.ContainsFunc(s.replicas, placed)
}

// claims plans the templates of the claims by which pods to be made get their devices, when it is known which these are.
func (s *state) claims(plan *engine.Plan) {
	for _, a := range s.asking() {
		if spec, _ := accelerator.ClaimTemplate(a.Of, a.Ask.Count); spec != nil {
			plan.Create = append(plan.Create, engine.Step{Object: &resourcev1.ResourceClaimTemplate{
				ObjectMeta: metav1.ObjectMeta{Name: a.Ask.Template, Namespace: s.job.Namespace, Labels: ownLabels(s.job)},
				Spec:       *spec,
			}})
		}
	}
}
