// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/profile"
)

// bits deals out choices from fuzzed bytes; those that are missing are 0.
type bits []byte

func (b *bits) of(n int) int {
	if len(*b) == 0 {
		return 0
	}
	v := int((*b)[0]) % n
	*b = (*b)[1:]
	return v
}

func pick[T any](b *bits, from ...T) T { return from[b.of(len(from))] }

// imagined is a Profile and a world.
func imagined(b *bits) (*v1alpha1.Profile, World) {
	p := &v1alpha1.Profile{ObjectMeta: metav1.ObjectMeta{Name: "team"}}
	p.Spec.Owner.Name = pick(b, "ann", "bob")
	for range b.of(5) {
		m := v1alpha1.Member{Role: pick(b, v1alpha1.RoleAdmin, v1alpha1.RoleEditor, v1alpha1.RoleViewer)}
		m.Subject = v1alpha1.Subject{Kind: pick(b, v1alpha1.User, v1alpha1.UserGroup), Name: pick(b, "ann", "bob", "eve")}
		if b.of(3) == 0 {
			m.Expires = new(metav1.NewTime(noon.Add(time.Duration(b.of(5)-2) * time.Hour)))
		}
		p.Spec.Members = append(p.Spec.Members, m)
	}
	p.Spec.Network.Isolation = pick(b, v1alpha1.IsolationEnabled, v1alpha1.IsolationDisabled)
	p.Spec.DeletionPolicy = pick(b, v1alpha1.DeleteNamespace, v1alpha1.OrphanNamespace)
	if b.of(2) == 0 {
		p.Spec.ResourceQuota = &corev1.ResourceQuotaSpec{}
	}
	p.Spec.Namespace.Mesh = pick(b, v1alpha1.MeshAuto, v1alpha1.MeshAmbient, v1alpha1.MeshNone)
	defaults(p)
	w := World{Mesh: b.of(2) == 0, Settings: profile.Default()}
	w.Namespace = pick(b,
		nil,
		namespaceWith(nil), namespaceWith(map[string]string{"millrace.dev/adopt": "ann"}),
		namespaceWith(map[string]string{"millrace.dev/kept-for": "profile-uid"}), namespaceWith(map[string]string{"millrace.dev/kept-for": "another"}),
	)
	for _, o := range blanks(p.Name, w.Mesh) {
		if b.of(2) == 0 {
			o.SetUID("child")
			o.SetAnnotations(pick(b, map[string]string{"millrace.dev/kept-for": "profile-uid"}, nil))
			w.Children = append(w.Children, o)
		}
	}
	return p, w
}

func namespaceWith(annotations map[string]string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team", Annotations: annotations}}
}

func FuzzPlan(f *testing.F) {
	for seed := range 64 {
		data := make([]byte, 48)
		for i := range data {
			data[i] = byte(seed * (i + 7) * 31 >> (i % 5))
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, w := imagined((*bits)(&data))
		before := p.DeepCopy()
		plan := Plan(p, w, noon)
		if diff := gocmp.Diff(before, p); diff != "" {
			t.Fatalf("the plan changes the Profile:\n%s", diff)
		}
		if diff := gocmp.Diff(plan, Plan(p, w, noon)); diff != "" {
			t.Fatalf("a second plan differs:\n%s", diff)
		}
		tame(t, p, w, plan)
		fair(t, p, plan)
		Report(p, w, noon)
		if len(p.Status.Conditions) != len(aspects)+4 {
			t.Fatalf("conditions are missing: %v", p.Status.Conditions)
		}
	})
}

// tame checks that a plan touches nothing of others, and names things once and validly.
func tame(t *testing.T, p *v1alpha1.Profile, w World, plan engine.Plan) {
	t.Helper()
	known := map[string]bool{}
	for _, o := range plan.Apply {
		if key := title(o); known[key] || len(validation.IsDNS1123Label(o.GetName())) > 0 {
			t.Fatalf("%s twice, or a bad name", key)
		} else {
			known[key] = true
		}
		if ns := o.GetNamespace(); ns != "" && ns != p.Name {
			t.Fatalf("%s in namespace %s", title(o), ns)
		}
	}
	mine := w.Namespace != nil && (engine.Owned(w.Namespace, p.UID) || w.Namespace.Annotations["millrace.dev/adopt"] == p.Spec.Owner.Name)
	if w.Namespace != nil && !mine && (len(plan.Apply) > 0 || !plan.Empty()) {
		t.Fatalf("writes into a namespace of others: %v", plan)
	}
	for _, s := range plan.Delete {
		if !engine.Owned(s.Object, p.UID) {
			t.Fatalf("deletes %s, which is not its own", title(s.Object))
		}
	}
}

// fair checks that exactly those have a role who should.
func fair(t *testing.T, p *v1alpha1.Profile, plan engine.Plan) {
	t.Helper()
	for _, o := range plan.Apply {
		binding, ok := o.(*rbacv1.RoleBinding)
		if !ok {
			continue
		}
		for _, s := range binding.Subjects {
			if s.Kind == rbacv1.ServiceAccountKind {
				continue
			}
			role := profile.Roles[slices.IndexFunc(profile.Roles, func(r profile.Role) bool { return r.ClusterRole == binding.RoleRef.Name })]
			owns := role.Name == v1alpha1.RoleAdmin && s.Kind == string(p.Spec.Owner.Kind) && s.Name == p.Spec.Owner.Name
			has := slices.ContainsFunc(p.Spec.Members, func(m v1alpha1.Member) bool {
				return string(m.Kind) == s.Kind && m.Name == s.Name && m.Role == role.Name && (m.Expires == nil || noon.Before(m.Expires.Time))
			})
			if !owns && !has {
				t.Fatal(fmt.Sprintf("%s %s has role %s: ", s.Kind, s.Name, role.Name), p.Spec)
			}
		}
	}
}
