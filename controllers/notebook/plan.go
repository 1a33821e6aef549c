// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"encoding/json"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/accelerator"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/notebookpod"
)

// Waits for what no watch tells.
const (
	// unmade is the first wait for the StatefulSet's pod, and refusedAgain the longest, and the one for a pod that the API server refuses.
	unmade       = 5 * time.Second
	refusedAgain = time.Minute
)

// Plan says what a notebook should have. It is pure.
func Plan(nb *v1alpha1.Notebook, w World, now time.Time) engine.Plan {
	s := look(nb, w, now)
	if _, refused := s.objects(); refused {
		return s.last()
	}
	plan := engine.Plan{Apply: []engine.Object{s.service()}, Again: engine.Soonest(s.until(), s.unmade())}
	if !s.held() {
		plan.Apply = append(plan.Apply, s.set())
		plan.Create = s.claims()
	}
	s.route(&plan)
	s.snapshots(&plan)
	s.replace(&plan)
	s.resize(&plan)
	s.grow(&plan)
	s.change(&plan)
	return plan
}

// last is all that is done for a notebook that is not accepted: what stops a server stops it all the same, or who does not want to be stopped would
// write what is not accepted.
func (s *state) last() engine.Plan {
	plan := engine.Plan{Again: s.until()}
	s.change(&plan)
	if s.stop != nil && s.world.Set != nil {
		plan.Apply = []engine.Object{s.set()}
	}
	return plan
}

// unmade is the wait for a pod that should be there. It grows with the time for which it was waited: thousands may wait at once, and each asks the
// API server why.
func (s *state) unmade() time.Duration {
	switch {
	case s.stop != nil || s.world.Set == nil || s.world.Pod != nil:
		return 0
	case s.world.Refused != "":
		return refusedAgain
	}
	began := s.world.Set.CreationTimestamp.Time
	for _, c := range s.nb.Status.Conditions {
		turns := c.Type == v1alpha1.ConditionStopped || c.Type == v1alpha1.ConditionRunning
		if turns && c.LastTransitionTime.After(began) {
			began = c.LastTransitionTime.Time
		}
	}
	if began.IsZero() {
		return unmade
	}
	return min(max(s.now.Sub(began)/2, unmade), refusedAgain)
}

// change stops a server whose time has come, or starts one. The rest follows when that is stored.
func (s *state) change(plan *engine.Plan) {
	if r, raised := s.cull(); raised {
		at := s.now.UTC().Format(time.RFC3339)
		plan.Patch = append(plan.Patch, s.note(eventCull, r.message, map[string]any{names.Stopped: at, names.StoppedBecause: because(r.word, at)}))
	}
	if schedule, comes := s.started(); comes {
		plan.Patch = append(plan.Patch, s.note(eventStart, "the schedule \""+schedule.Start+"\" says so", map[string]any{
			names.Stopped: nil, names.StoppedBecause: nil,
		}))
	}
}

// replace deletes a pod that is to be made anew: one whose user asks for it, or one whose server does not run and would not be made like
// this now. The next one is made as it is wanted only when the StatefulSet's controller knows what that is.
func (s *state) replace(plan *engine.Plan) {
	p := s.live()
	if p == nil || s.stop != nil || !s.settled() {
		return
	}
	switch {
	case s.nb.Annotations[names.Restart] == string(p.UID):
		plan.Delete = append(plan.Delete, engine.Step{Object: named(p), Reason: eventRestart, Why: "a restart was asked for"})
	case len(s.changes) > 0 && s.main(p).State.Running == nil && !s.held():
		plan.Delete = append(plan.Delete, engine.Step{Object: named(p), Reason: eventReplace, Why: "its server does not run, and what is wanted has changed"})
	}
}

// resize changes cpu and memory of a server that runs. What the API server has refused once is not tried again.
func (s *state) resize(plan *engine.Plan) {
	p := s.live()
	if p == nil || s.stop != nil || s.held() || s.main(p).State.Running == nil || !s.resizes() {
		return
	}
	refused := s.nb.Status.ResizeRefused
	if refused != nil && refused.Resources == amounts(s.nb) {
		return
	}
	want := s.template.Spec.Containers[0].Resources
	data, err := json.Marshal(map[string]any{"spec": map[string]any{"containers": []any{map[string]any{
		"name": s.server(p).Name, "resources": map[string]any{"requests": only(want.Requests), "limits": only(want.Limits)},
	}}}})
	if err != nil {
		panic(err) // only of types that JSON cannot hold
	}
	plan.Patch = append(plan.Patch, engine.Step{Object: named(p), Subresource: "resize", Data: data, Reason: eventResize, Why: "cpu and memory are changed in place"})
}

// named is a pod by its name and UID. It carries its kind, which what comes from a cache does not, so that a refusal tells of what.
func named(p *corev1.Pod) *corev1.Pod {
	return &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace, UID: p.UID},
	}
}

// resizes is true when the pod has not got the cpu and memory that are wanted, and can get them while its server runs: a container may say
// that it is started again for either.
func (s *state) resizes() bool {
	have, want := s.server(s.world.Pod), s.template.Spec.Containers[0].Resources
	asked := len(only(want.Requests))+len(only(want.Limits)) > 0
	resizes := false
	for field, name := range scalable {
		if !asked || !s.differs(field) || equalAmounts(have.Resources, want, name) {
			continue
		}
		if slices.Contains(have.ResizePolicy, corev1.ContainerResizePolicy{ResourceName: name, RestartPolicy: corev1.RestartContainer}) {
			return false
		}
		resizes = true
	}
	return resizes
}

func (s *state) differs(field string) bool {
	for _, c := range s.changes {
		if c.Field == field {
			return true
		}
	}
	return false
}

// only are the cpu and memory of a list.
func only(list corev1.ResourceList) corev1.ResourceList {
	found := corev1.ResourceList{}
	for _, name := range scalable {
		if q, there := list[name]; there {
			found[name] = q
		}
	}
	return found
}

// amounts are the cpu and memory that the notebook asks for, in a digest.
func amounts(nb *v1alpha1.Notebook) string {
	written := notebookpod.Written(nb)
	want := written.Spec.Containers[0].Resources
	return digest([]any{only(want.Requests), only(want.Limits)})
}

// set is the StatefulSet of the notebook's pod.
func (s *state) set() *appsv1.StatefulSet {
	replicas := int32(1)
	if s.stop != nil {
		replicas = 0
	}
	set := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: s.nb.Name, Namespace: s.nb.Namespace, Labels: ownLabels(s.nb)},
		Spec: appsv1.StatefulSetSpec{
			Replicas: &replicas, Template: s.template,
			Selector:            &metav1.LabelSelector{MatchLabels: map[string]string{names.Notebook: s.nb.Name}},
			PodManagementPolicy: appsv1.ParallelPodManagement,
			// A pod that runs is never replaced because its template changes.
			UpdateStrategy:       appsv1.StatefulSetUpdateStrategy{Type: appsv1.OnDeleteStatefulSetStrategyType},
			RevisionHistoryLimit: new(int32(1)),
		},
	}
	if claim := s.claim(); claim != nil {
		set.Spec.VolumeClaimTemplates = []corev1.PersistentVolumeClaim{*claim}
		set.Spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{
			WhenDeleted: s.retention(), WhenScaled: appsv1.RetainPersistentVolumeClaimRetentionPolicyType,
		}
	}
	return set
}

// service is the notebook's address in the cluster. Its port is named so that Istio knows what it carries.
func (s *state) service() *corev1.Service {
	target := int32(notebookpod.Port)
	if ports := s.template.Spec.Containers[0].Ports; len(ports) > 0 {
		target = ports[0].ContainerPort
	}
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: s.nb.Name, Namespace: s.nb.Namespace, Labels: ownLabels(s.nb)},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, Selector: map[string]string{names.Notebook: s.nb.Name},
			Ports: []corev1.ServicePort{{
				Name: "http-" + s.nb.Name, Port: servicePort, TargetPort: intstr.FromInt32(target), Protocol: corev1.ProtocolTCP, AppProtocol: new("http"),
			}},
		},
	}
}

// servicePort is the port of a notebook's Service.
const servicePort = 80

// claims plans the template of the claim by which the pod gets devices of a DeviceClass.
func (s *state) claims() []engine.Step {
	r := s.request()
	if r == nil || r.Of == nil || s.stop != nil {
		return nil
	}
	spec, _ := accelerator.ClaimTemplate(r.Of, r.Ask.Count)
	if spec == nil {
		return nil
	}
	return []engine.Step{{Object: &resourcev1.ResourceClaimTemplate{
		ObjectMeta: metav1.ObjectMeta{Name: r.Ask.Template, Namespace: s.nb.Namespace, Labels: ownLabels(s.nb)}, Spec: *spec,
	}}}
}

// ownLabels are of the objects beside the pod.
func ownLabels(nb *v1alpha1.Notebook) map[string]string {
	return map[string]string{
		names.ManagedBy: names.Manager, names.AppName: "notebook", names.Instance: nb.Name, names.Notebook: nb.Name,
	}
}
