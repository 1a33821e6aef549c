// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/accelerator"
	"github.com/millrace-ml/millrace/internal/culling"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/notebookpod"
	"github.com/millrace-ml/millrace/internal/poddefault"
	"github.com/millrace-ml/millrace/internal/route"
)

// Settings are the manager's.
type Settings struct {
	Route route.Settings
	// Idle and MaxLife are for notebooks that say nothing of their own; 0 is never.
	Idle, MaxLife time.Duration
}

// culling is the policy of a notebook in the namespace of a team.
func (s Settings) culling(team *v1alpha1.ProfileCulling, nb *v1alpha1.Notebook) culling.Policy {
	return culling.Of(s.Idle, s.MaxLife, team, nb.Spec.Culling)
}

// World is what a notebook is decided from.
type World struct {
	Settings Settings
	// Set and Pod are nil where there is none of the notebook's.
	Set *appsv1.StatefulSet
	Pod *corev1.Pod
	// Claim is of the workspace that was made for it.
	Claim *corev1.PersistentVolumeClaim
	// Refused is why the StatefulSet's pod could not be made, and Unmounted why the pod's volumes cannot be mounted.
	Refused, Unmounted string
	// Editor is true where the namespace has a service account default-editor.
	Editor       bool
	Accelerators []v1alpha1.Accelerator
	// PodDefaults are those of the namespace.
	PodDefaults []v1alpha1.PodDefault
	// Team is what the Profile of the namespace says of culling; nil where nothing is said.
	Team *v1alpha1.ProfileCulling
	// Served are the optional kinds that the cluster offers, Routes and Snapshots what there is of them of the notebook.
	Served            []schema.GroupVersionKind
	Routes, Snapshots []unstructured.Unstructured
	// Activity is what the server tells of its use; nil where it has not been asked.
	Activity *Activity
}

// state is a notebook in its world.
type state struct {
	nb    *v1alpha1.Notebook
	world World
	now   time.Time
	// template is the pod that is wanted.
	template corev1.PodTemplateSpec
	// doubt is why it cannot be made.
	doubt *accelerator.Doubt
	// stop is why there is to be none; nil when there is to be one.
	stop *reason
	// culling is the notebook's policy.
	culling culling.Policy
	// changes are what differs between the pod that there is and the one that is wanted.
	changes []v1alpha1.PendingChange
}

// reason is a reason and a message of a condition.
type reason struct{ word, message string }

func look(nb *v1alpha1.Notebook, w World, now time.Time) *state {
	s := &state{nb: nb, world: w, now: now, stop: stopOf(nb), culling: w.Settings.culling(w.Team, nb)}
	request := s.request()
	if request != nil {
		if d, raised := request.Doubt(); raised {
			s.doubt = &d
			request = nil
		}
	}
	s.template = notebookpod.Template(nb, request)
	s.dress()
	s.template.Annotations[names.MadeFrom] = encode(facetsOf(&s.template))
	if w.Pod != nil && s.doubt == nil {
		s.changes = s.differences()
	}
	return s
}

// request is what the notebook asks for of an Accelerator, nil where it asks for nothing.
func (s *state) request() *accelerator.Request {
	asked := s.nb.Spec.Accelerator
	if asked == nil {
		return nil
	}
	written := notebookpod.Written(s.nb)
	r := &accelerator.Request{
		Name: asked.Name, Field: "spec.accelerator", Template: "spec.template", Spec: &written.Spec,
		Of: accelerator.Find(s.world.Accelerators, asked.Name), All: s.world.Accelerators,
	}
	if r.Of == nil {
		return r
	}
	r.Ask = accelerator.Ask{Count: max(asked.Count, 1), Namespace: s.nb.Namespace}
	if _, content := accelerator.ClaimTemplate(r.Of, r.Ask.Count); content != "" {
		r.Ask.Template = names.Claims(s.nb.Name, "notebook", content)
	}
	return r
}

// dress merges the PodDefaults that are for the pod into it. One that contradicts it is why it cannot be made. The service account that nobody
// chose comes last: it contradicts nothing.
func (s *state) dress() {
	pod := &corev1.Pod{ObjectMeta: s.template.ObjectMeta, Spec: s.template.Spec}
	in := poddefault.Matching(s.world.PodDefaults, pod.Labels)
	c, found := poddefault.Apply(poddefault.Pod{Pod: pod, Reserved: []string{notebookpod.Prefix}}, in)
	if found && s.doubt == nil {
		s.doubt = &accelerator.Doubt{Status: no, Reason: v1alpha1.ReasonPodDefaultConflict, Message: c.Say("spec.template")}
	}
	if pod.Spec.ServiceAccountName == "" && s.world.Editor {
		pod.Spec.ServiceAccountName = notebookpod.Editor
	}
	s.template.ObjectMeta, s.template.Spec = pod.ObjectMeta, pod.Spec
}

// held is true when the StatefulSet is left as it is, because it is not known what its pod would ask for.
func (s *state) held() bool { return s.doubt != nil && s.stop == nil }

// settled is true when the next pod is made as it is wanted now.
func (s *state) settled() bool {
	set := s.world.Set
	return set != nil && set.Status.ObservedGeneration >= set.Generation &&
		(s.held() || set.Spec.Template.Annotations[names.MadeFrom] == s.template.Annotations[names.MadeFrom])
}

func terminating(p *corev1.Pod) bool { return p.DeletionTimestamp != nil }

// live is the pod unless it is ending.
func (s *state) live() *corev1.Pod {
	if s.world.Pod == nil || terminating(s.world.Pod) {
		return nil
	}
	return s.world.Pod
}

// server is the container of the server in a pod: that of its name. It need not be the first, for a mesh puts its own before it.
func (s *state) server(p *corev1.Pod) *corev1.Container {
	for _, name := range []string{s.template.Spec.Containers[0].Name, p.Annotations[names.DefaultContainer]} {
		for i := range p.Spec.Containers {
			if p.Spec.Containers[i].Name == name {
				return &p.Spec.Containers[i]
			}
		}
	}
	return &p.Spec.Containers[0]
}

// main is the status of the server's container.
func (s *state) main(p *corev1.Pod) corev1.ContainerStatus {
	name := s.server(p).Name
	for _, c := range p.Status.ContainerStatuses {
		if c.Name == name {
			return c
		}
	}
	return corev1.ContainerStatus{}
}

func hasCondition(p *corev1.Pod, kind corev1.PodConditionType) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == kind {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// up is true of a pod whose server takes requests.
func up(p *corev1.Pod) bool { return p != nil && hasCondition(p, corev1.PodReady) }
