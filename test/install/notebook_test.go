// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/config/crd"
	"github.com/millrace-ml/millrace/controllers/notebook"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/offline"
)

// TestNotebookStates asks kstatus and Argo CD what they make of a notebook. Its statuses come from the controller itself.
func TestNotebookStates(t *testing.T) {
	const plain = "{image: jupyter:1}"
	pod := func(ready corev1.ConditionStatus, state corev1.ContainerState) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "lab-0", UID: "uid"}}
		p.Spec.NodeName, p.Spec.Containers = "node", []corev1.Container{{Name: "lab"}}
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "lab", State: state}}
		return p
	}
	typo := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "not found"}}
	for name, c := range map[string]struct {
		spec          string
		world         *notebook.World
		refusal       *engine.Refusal
		kstatus, argo string
	}{
		"not yet seen by the manager":      {spec: plain, kstatus: "InProgress", argo: "Progressing"},
		"without a pod yet":                {spec: plain, world: &notebook.World{}, kstatus: "InProgress", argo: "Progressing"},
		"up":                               {spec: plain, world: &notebook.World{Set: &appsv1.StatefulSet{}, Pod: pod("True", corev1.ContainerState{})}, kstatus: "Current", argo: "Healthy"},
		"with an image that cannot be had": {spec: plain, world: &notebook.World{Set: &appsv1.StatefulSet{}, Pod: pod("False", typo)}, kstatus: "InProgress", argo: "Progressing"},
		"stopped":                          {spec: "{image: jupyter:1, stopped: true}", world: &notebook.World{}, kstatus: "Current", argo: "Suspended"},
		"of a schedule that makes no sense": {
			spec:  "{image: jupyter:1, culling: {schedules: [{stop: 0 25 * * *}]}}",
			world: &notebook.World{}, kstatus: "Failed", argo: "Degraded",
		},
		"whose name is taken": {
			spec: plain, world: &notebook.World{}, refusal: &engine.Refusal{Verb: "apply", Kind: "Service", Name: "lab", Cause: engine.Taken},
			kstatus: "Failed", argo: "Degraded",
		},
	} {
		t.Run(name, func(t *testing.T) {
			nb := admitted(t, notebook.Name, c.spec, &v1alpha1.Notebook{})
			if c.world != nil {
				notebook.Report(nb, *c.world, now)
				nb.Status.ObservedGeneration = nb.Generation
			}
			if c.refusal != nil {
				notebook.Refuse(nb, []engine.Refusal{*c.refusal})
			}
			reading{nb, c.kstatus, c.argo}.check(t, notebook.Name)
		})
	}
}

// TestRoutesSayNothingToAGatewayItself asks admission for what a gateway would take for more than the text it is.
func TestRoutesSayNothingToAGatewayItself(t *testing.T) {
	schemas, err := offline.Load(crd.FS)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rewrite, value string
		admitted       bool
	}{
		{"/", "/notebook/team/lab/", true},
		{"/a~b/%20;c=(d)", "a, ünïcode; b=c", true},
		{"/", "%ENVIRONMENT(TOKEN)%", false},
		{"/", "100%", false},
		{"/", "a\r\nCookie: b", false},
		{"/a\nb", "a", false},
		{"/a?b", "a", false},
		{"/a b", "a", false},
		{`/a\1`, "a", false},
		{"a", "a", false},
	} {
		given := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "lab"}, "spec": map[string]any{
			"image": "a", "route": map[string]any{
				"rewrite": c.rewrite, "requestHeaders": []any{map[string]any{"name": "X-Root", "value": c.value}},
			},
		}}}
		given.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(notebook.Name))
		if _, refusal := schemas.Admit(t.Context(), given, "team"); refusal.Empty() != c.admitted {
			t.Errorf("rewrite %q and value %q: %v, want admitted: %v", c.rewrite, c.value, refusal, c.admitted)
		}
	}
}
