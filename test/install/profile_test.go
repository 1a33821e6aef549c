// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/config/crd"
	"github.com/millrace-ml/millrace/controllers/poddefault"
	"github.com/millrace-ml/millrace/controllers/profile"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/offline"
)

// TestStatesOfWorkspaces asks kstatus and Argo CD what they make of Profiles and PodDefaults. Their statuses come from the
// controllers themselves.
func TestStatesOfWorkspaces(t *testing.T) {
	ours := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team-a", Annotations: map[string]string{"millrace.dev/kept-for": ""}}}
	inProfile := func(w profile.World) func(*testing.T, map[string]any) map[string]any {
		return func(t *testing.T, stored map[string]any) map[string]any {
			return judged(t, stored, &v1alpha1.Profile{}, func(p *v1alpha1.Profile) { profile.Report(p, w, now) })
		}
	}
	inPodDefault := func(t *testing.T, stored map[string]any) map[string]any {
		return judged(t, stored, &v1alpha1.PodDefault{}, func(d *v1alpha1.PodDefault) { poddefault.Report(d, poddefault.World{}, now) })
	}
	for name, c := range map[string]struct {
		kind          string
		spec          map[string]any
		judge         func(*testing.T, map[string]any) map[string]any
		kstatus, argo string
	}{
		"a new Profile":           {"Profile", annsProfile, nil, "InProgress", "Progressing"},
		"without a namespace":     {"Profile", annsProfile, inProfile(profile.World{}), "InProgress", "Progressing"},
		"half made":               {"Profile", annsProfile, inProfile(profile.World{Namespace: ours}), "InProgress", "Progressing"},
		"in somebody's namespace": {"Profile", annsProfile, inProfile(profile.World{Namespace: &corev1.Namespace{}}), "Failed", "Degraded"},
		"a new PodDefault":        {"PodDefault", map[string]any{"selector": map[string]any{}}, nil, "InProgress", "Progressing"},
		"a PodDefault":            {"PodDefault", map[string]any{"selector": map[string]any{}}, inPodDefault, "Current", "Healthy"},
		"without a good selector": {"PodDefault", map[string]any{"selector": map[string]any{"matchExpressions": []any{
			map[string]any{"key": "a", "operator": "Like"},
		}}}, inPodDefault, "Failed", "Degraded"},
	} {
		t.Run(name, func(t *testing.T) {
			content := storedAs(t, c.kind, c.spec)
			if c.judge != nil {
				content = c.judge(t, content)
			}
			got, err := status.Compute(&unstructured.Unstructured{Object: content})
			if err != nil || got.Status.String() != c.kstatus {
				t.Errorf("kstatus says %v (%v), want %s", got, err, c.kstatus)
			}
			if got, message := health(t, healthScriptOf(t, c.kind), content); got != c.argo || message == "" {
				t.Errorf("Argo CD says %s (%s), want %s", got, message, c.argo)
			}
		})
	}
}

var annsProfile = map[string]any{"owner": map[string]any{"name": "ann"}}

// storedAs is an object as the API server stores it.
func storedAs(t *testing.T, kind string, spec map[string]any) map[string]any {
	t.Helper()
	schemas, err := offline.Load(crd.FS)
	if err != nil {
		t.Fatal(err)
	}
	given := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "team-a"}, "spec": spec}}
	given.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	o, refusal := schemas.Admit(t.Context(), given, "team-a")
	if !refusal.Empty() {
		t.Fatal(refusal)
	}
	return o.Object
}

// judged is an object with the status that a controller gives it.
func judged[T engine.Owner](t *testing.T, stored map[string]any, into T, report func(T)) map[string]any {
	t.Helper()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(stored, into); err != nil {
		t.Fatal(err)
	}
	report(into)
	into.SetObservedGeneration(into.GetGeneration())
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(into)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
