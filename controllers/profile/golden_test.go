// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/profile"
	"github.com/millrace-ml/millrace/test/golden"
)

// noon is now in every golden case.
var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// planCase is a case: a Profile, and what is there.
type planCase struct {
	Profile v1alpha1.Profile `json:"profile"`
	// Namespace is the one of its name; left out, there is none.
	Namespace *corev1.Namespace `json:"namespace"`
	// Made are the objects that are there, as kind/name; those of the Profile's own plan are its own. All stands for all of these.
	Made []string `json:"made"`
	Mesh bool     `json:"mesh"`
	// Labels are of the configuration.
	Labels map[string]string `json:"labels"`
	// Watched are the namespaces that the manager watches; all when empty.
	Watched []string `json:"watched"`
	// Refused is what the API server would not take.
	Refused []engine.Refusal `json:"refused"`
	// Brief leaves out what is applied but for its kind and name.
	Brief bool `json:"brief"`
}

// outcome is what is compared.
type outcome struct {
	Apply  []any                  `json:"apply,omitempty"`
	Create []any                  `json:"create,omitempty"`
	Delete []string               `json:"delete,omitempty"`
	Again  string                 `json:"again,omitempty"`
	Status v1alpha1.ProfileStatus `json:"status"`
}

func TestPlansAndReports(t *testing.T) { golden.Cases(t, run) }

func run(t *testing.T, c *planCase) any {
	t.Helper()
	defaults(&c.Profile)
	w := c.world()
	p := c.Profile.DeepCopy()
	plan := Plan(&c.Profile, w, noon)
	got := outcome{Again: again(plan.Again)}
	for _, o := range plan.Apply {
		got.Apply = append(got.Apply, c.show(t, o))
	}
	for _, s := range plan.Create {
		got.Create = append(got.Create, c.show(t, s.Object))
	}
	for _, s := range plan.Delete {
		got.Delete = append(got.Delete, title(s.Object)+": "+s.Why)
	}
	Report(p, w, noon)
	if len(c.Refused) > 0 {
		Refuse(p, c.Refused)
	}
	once := p.DeepCopy()
	if len(c.Refused) == 0 {
		Report(p, w, noon)
	}
	if diff := gocmp.Diff(once, p); diff != "" {
		t.Errorf("a second report says something else (-once +twice):\n%s", diff)
	}
	got.Status = p.Status
	return got
}

// defaults are the schema's.
func defaults(p *v1alpha1.Profile) {
	p.UID = "profile-uid"
	if p.Spec.Owner.Kind == "" {
		p.Spec.Owner.Kind = v1alpha1.User
	}
	for i := range p.Spec.Members {
		m := &p.Spec.Members[i]
		if m.Kind == "" {
			m.Kind = v1alpha1.User
		}
		if m.Role == "" {
			m.Role = v1alpha1.RoleEditor
		}
	}
	if p.Spec.Namespace.PodSecurity == "" {
		p.Spec.Namespace.PodSecurity = "baseline"
	}
	if p.Spec.Namespace.Mesh == "" {
		p.Spec.Namespace.Mesh = v1alpha1.MeshAuto
	}
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionNamespaceReady} {
		p.Status.Conditions = append(p.Status.Conditions, condition(kind, unknown, v1alpha1.ReasonPending, "Waiting for the manager."))
	}
}

func (c *planCase) world() World {
	settings := profile.Default()
	settings.NamespaceLabels = c.Labels
	settings.Watched = c.Watched
	w := World{Namespace: c.Namespace, Mesh: c.Mesh, Settings: settings}
	made := func(o engine.Object) bool { return slices.Contains(c.Made, "All") || slices.Contains(c.Made, title(o)) }
	own := &metav1.ObjectMeta{UID: "profile-uid"}
	for _, o := range blanks(c.Profile.Name, c.Mesh) {
		if made(o) {
			engine.Keep(o, own)
			w.Children = append(w.Children, o)
		}
	}
	return w
}

func again(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func title(o engine.Object) string { return kindOf(o) + "/" + o.GetName() }

func (c *planCase) show(t *testing.T, o engine.Object) any {
	t.Helper()
	if c.Brief {
		return title(o)
	}
	gvk, err := apiutil.GVKForObject(o, clientgoscheme.Scheme)
	if err != nil {
		t.Fatal(err)
	}
	o.GetObjectKind().SetGroupVersionKind(gvk)
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		t.Fatal(err)
	}
	delete(fields, "status")
	return fields
}
