// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/notebookpod"
	"github.com/millrace-ml/millrace/internal/route"
	"github.com/millrace-ml/millrace/test/golden"
)

// noon is now in every golden case.
var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// planCase is a notebook, and its world in short.
type planCase struct {
	Notebook v1alpha1.Notebook `json:"notebook"`
	// Full prints what is applied whole.
	Full bool `json:"full"`
	// Made is true when the StatefulSet is there, Was the spec it and the pod were made from, when that was another.
	Made bool                   `json:"made"`
	Was  *v1alpha1.NotebookSpec `json:"was"`
	// Pod is the pod, where there is one.
	Pod *podInShort `json:"pod"`
	// Claim is the size of the workspace's claim, ClaimMade when it was made.
	Claim        *corev1.PersistentVolumeClaim `json:"claim"`
	Refused      string                        `json:"refused"`
	Unmounted    string                        `json:"unmounted"`
	Editor       bool                          `json:"editor"`
	Accelerators []v1alpha1.Accelerator        `json:"accelerators"`
	PodDefaults  []v1alpha1.PodDefault         `json:"podDefaults"`
	Team         *v1alpha1.ProfileCulling      `json:"team"`
	// Served are the words of kinds that the cluster offers; Routes and Snapshots what there is of them.
	Served    []string                    `json:"served"`
	Routes    []unstructured.Unstructured `json:"routes"`
	Snapshots []unstructured.Unstructured `json:"snapshots"`
	Activity  *Activity                   `json:"activity"`
	Settings  settingsInShort             `json:"settings"`
	// Refusals are what the API server would not take.
	Refusals []engine.Refusal `json:"refusals"`
}

type settingsInShort struct {
	Idle    metav1.Duration `json:"idle"`
	MaxLife metav1.Duration `json:"maxLife"`
	Route   route.Settings  `json:"route"`
}

// podInShort is a pod by what differs from one that runs.
type podInShort struct {
	Made       *metav1.Time                 `json:"made"`
	NoNode     string                       `json:"noNode"`
	Ready      bool                         `json:"ready"`
	Going      bool                         `json:"going"`
	State      corev1.ContainerState        `json:"state"`
	Last       corev1.ContainerState        `json:"last"`
	Restarts   int32                        `json:"restarts"`
	Resources  *corev1.ResourceRequirements `json:"resources"`
	Infeasible bool                         `json:"infeasible"`
	// Meshed is true of a pod that a mesh has put its container into, before the others.
	Meshed bool `json:"meshed"`
	// Unmarked is true of a pod that does not tell what it was made from.
	Unmarked bool `json:"unmarked"`
}

// outcome is what is compared: the plan, and the status after it.
type outcome struct {
	Apply  []any                   `json:"apply,omitempty"`
	Create []any                   `json:"create,omitempty"`
	Delete []string                `json:"delete,omitempty"`
	Patch  []string                `json:"patch,omitempty"`
	Again  string                  `json:"again,omitempty"`
	Status v1alpha1.NotebookStatus `json:"status"`
}

func TestPlansAndReports(t *testing.T) {
	golden.CasesIn(t, "testdata/plan", func(t *testing.T, c *planCase) any {
		prepare(&c.Notebook)
		return decide(t, c, c.world())
	})
}

// load reads a case.
func load(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Fatal(err)
	}
}

// prepare gives a notebook what an API server would.
func prepare(nb *v1alpha1.Notebook) {
	nb.Name, nb.Namespace, nb.UID = cmp.Or(nb.Name, "lab"), cmp.Or(nb.Namespace, "team"), "notebook-uid"
	if nb.CreationTimestamp.IsZero() {
		nb.CreationTimestamp = metav1.NewTime(noon.Add(-time.Hour))
	}
	if nb.Spec.Image == "" && nb.Spec.Template == nil {
		nb.Spec.Image = "jupyter:1"
	}
	if w := nb.Spec.Workspace; w != nil {
		w.MountPath, w.OnDelete = cmp.Or(w.MountPath, notebookpod.Home), cmp.Or(w.OnDelete, v1alpha1.RetainVolume)
	}
}

func (c *planCase) world() World {
	w := World{
		Settings: Settings{Route: c.Settings.Route, Idle: c.Settings.Idle.Duration, MaxLife: c.Settings.MaxLife.Duration},
		Claim:    c.Claim, Refused: c.Refused, Unmounted: c.Unmounted, Editor: c.Editor, Accelerators: c.Accelerators,
		Routes: c.Routes, Snapshots: c.Snapshots, Activity: c.Activity, PodDefaults: c.PodDefaults, Team: c.Team,
	}
	for _, kind := range Optional {
		for _, word := range c.Served {
			if kind.Kind == word {
				w.Served = append(w.Served, kind)
			}
		}
	}
	if w.Activity != nil {
		w.Activity.Pod = "pod-uid"
	}
	was := c.Notebook.DeepCopy()
	if c.Was != nil {
		was.Spec = *c.Was
		prepare(was)
	}
	earlier := w
	earlier.PodDefaults = nil
	before := look(was, earlier, noon)
	if c.Made || c.Pod != nil {
		w.Set = before.set()
		w.Set.UID, w.Set.Generation, w.Set.Status.ObservedGeneration = "set-uid", 1, 1
		if c.Was != nil || len(w.PodDefaults) > 0 {
			now := look(&c.Notebook, w, noon)
			if !now.held() {
				w.Set.Spec.Template = now.template // the StatefulSet is what is wanted; the pod is not
			}
		}
	}
	if c.Pod != nil {
		w.Pod = c.Pod.pod(before)
	}
	return w
}

// pod is the pod that a StatefulSet makes of a template, as the cache keeps it.
func (p podInShort) pod(s *state) *corev1.Pod {
	made := &corev1.Pod{ObjectMeta: *s.template.ObjectMeta.DeepCopy(), Spec: *s.template.Spec.DeepCopy()}
	made.Name, made.Namespace, made.UID = s.nb.Name+"-0", s.nb.Namespace, "pod-uid"
	made.CreationTimestamp = metav1.NewTime(noon.Add(-30 * time.Minute))
	if p.Made != nil {
		made.CreationTimestamp = *p.Made
	}
	if p.Unmarked {
		delete(made.Annotations, names.MadeFrom)
	}
	if p.Resources != nil {
		made.Spec.Containers[0].Resources = *p.Resources
	}
	made.Status.Phase = corev1.PodRunning
	if p.NoNode != "" {
		made.Status.Phase = corev1.PodPending
		made.Status.Conditions = []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: p.NoNode,
		}}
	} else {
		made.Spec.NodeName = "node-1"
	}
	if p.Ready {
		made.Status.Conditions = append(made.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue})
		p.State.Running = &corev1.ContainerStateRunning{}
	}
	if p.Infeasible {
		made.Status.Conditions = append(made.Status.Conditions, corev1.PodCondition{Type: corev1.PodResizePending, Status: corev1.ConditionTrue})
	}
	if p.Going {
		made.DeletionTimestamp = new(metav1.NewTime(noon))
	}
	made.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: made.Spec.Containers[0].Name, State: p.State, LastTerminationState: p.Last, RestartCount: p.Restarts,
	}}
	if p.Meshed {
		made.Spec.Containers = slices.Insert(made.Spec.Containers, 0, corev1.Container{Name: "istio-proxy"})
		made.Status.ContainerStatuses = slices.Insert(made.Status.ContainerStatuses, 0, corev1.ContainerStatus{
			Name: "istio-proxy", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}},
		})
	}
	return made
}

func decide(t *testing.T, c *planCase, w World) outcome {
	t.Helper()
	nb := &c.Notebook
	plan := Plan(nb, w, noon)
	var got outcome
	for _, o := range plan.Apply {
		got.Apply = append(got.Apply, inShort(o, c.Full))
	}
	for _, s := range plan.Create {
		got.Create = append(got.Create, inShort(s.Object, c.Full))
	}
	for _, s := range plan.Delete {
		got.Delete = append(got.Delete, strings.TrimSuffix(s.Object.GetName()+": "+s.Reason+", "+s.Why, ", "))
	}
	for _, s := range plan.Patch {
		got.Patch = append(got.Patch, strings.TrimSuffix(s.Object.GetName()+"/"+s.Subresource, "/")+": "+s.Reason+": "+string(s.Data))
	}
	if plan.Again > 0 {
		got.Again = plan.Again.String()
	}
	after := nb.DeepCopy()
	Report(after, w, noon)
	twice := after.DeepCopy()
	Report(twice, w, noon)
	if diff := gocmp.Diff(after, twice); diff != "" {
		t.Errorf("a second report says something else (-once +twice):\n%s", diff)
	}
	if len(c.Refusals) > 0 {
		Refuse(after, c.Refusals)
	}
	got.Status = after.Status
	return got
}

// inShort is an object whole, or its name and what tells most of it.
func inShort(o engine.Object, full bool) any {
	if _, loose := o.(*unstructured.Unstructured); full || loose {
		return o
	}
	name := strings.TrimPrefix(strings.TrimPrefix(fmt.Sprintf("%T", o), "*v1."), "*") + " " + o.GetName()
	if set, ok := o.(*appsv1.StatefulSet); ok && *set.Spec.Replicas == 0 {
		name += " without a pod"
	}
	return name
}
