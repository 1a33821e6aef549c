// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func member(kind v1alpha1.SubjectKind, name string, role v1alpha1.ProfileRole, until time.Duration) v1alpha1.Member {
	m := v1alpha1.Member{Subject: v1alpha1.Subject{Kind: kind, Name: name}, Role: role}
	if until != 0 {
		m.Expires = new(metav1.NewTime(noon.Add(until)))
	}
	return m
}

func team(members ...v1alpha1.Member) *v1alpha1.Profile {
	return &v1alpha1.Profile{Spec: v1alpha1.ProfileSpec{Owner: v1alpha1.Subject{Kind: v1alpha1.User, Name: "ann"}, Members: members}}
}

func TestRolesEndAtTheirTime(t *testing.T) {
	p := team(
		member(v1alpha1.User, "zoe", v1alpha1.RoleViewer, time.Hour), member(v1alpha1.User, "bob", v1alpha1.RoleEditor, 0),
		member(v1alpha1.User, "eve", v1alpha1.RoleAdmin, -time.Second), member(v1alpha1.User, "ann", v1alpha1.RoleViewer, 0),
	)
	var got []string
	for _, g := range Grants(p, noon) {
		got = append(got, Title(g.Subject)+" "+string(g.Role))
	}
	if diff := cmp.Diff([]string{"User/ann admin", "User/bob editor", "User/zoe viewer"}, got); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
	if gone := Expired(p, noon); len(gone) != 1 || gone[0] != "User/eve" {
		t.Errorf("the time of %v is over", gone)
	}
	if wait := UntilExpiry(p, noon); wait != time.Hour {
		t.Errorf("the next time is over in %s, want an hour", wait)
	}
	if wait := UntilExpiry(p, noon.Add(time.Hour)); wait != 0 || len(Grants(p, noon.Add(time.Hour))) != 2 {
		t.Errorf("at its end a role is over, and no other will be; wait %s", wait)
	}
}

// TestAViewerReachesNoPodByHimself reads the policies as a mesh does: a header names somebody only where a gateway has set it.
func TestAViewerReachesNoPodByHimself(t *testing.T) {
	s := Default()
	grants := Grants(team(member(v1alpha1.User, "zoe", v1alpha1.RoleViewer, 0), member(v1alpha1.UserGroup, "guests", v1alpha1.RoleViewer, 0)), noon)
	members, viewers := s.MembersMesh("team", grants), s.ViewersMesh("team", grants)
	if text := rulesOf(t, members); strings.Contains(text, "zoe") || strings.Contains(text, "guests") || !strings.Contains(text, "ann") {
		t.Errorf("the members' policy lets in %s", text)
	}
	selector, _, err := unstructured.NestedString(viewers.Object, "spec", "selector", "matchLabels", "millrace.dev/viewers")
	if err != nil || selector != "Allow" {
		t.Errorf("the viewers' policy is not for marked pods alone: %v", viewers.Object)
	}
	if s.ViewersMesh("team", Grants(team(), noon)) != nil {
		t.Error("a policy without rules denies, or allows, everybody")
	}
	s.Mesh.Gateways = []string{}
	closed := s.MembersMesh("team", grants)
	for _, open := range []string{"ann", "null", "/metrics"} {
		if text := rulesOf(t, closed); strings.Contains(text, open) {
			t.Errorf("without the name of a gateway anybody may come through one, and say who he is: %s in %s", open, text)
		}
	}
	for _, p := range []*unstructured.Unstructured{members, viewers, closed} {
		forSomebody(t, p)
	}
}

func forSomebody(t *testing.T, p *unstructured.Unstructured) {
	t.Helper()
	rules, _, err := unstructured.NestedSlice(p.Object, "spec", "rules")
	if err != nil || len(rules) == 0 {
		t.Fatal(err)
	}
	for _, r := range rules {
		if rule, ok := r.(map[string]any); !ok || rule["from"] == nil {
			t.Errorf("a rule of %s is for anybody: %v", p.GetName(), r)
		}
	}
}

func rulesOf(t *testing.T, u *unstructured.Unstructured) string {
	t.Helper()
	text, err := u.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
