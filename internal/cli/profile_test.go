// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

func team() []client.Object {
	p := &v1alpha1.Profile{ObjectMeta: metav1.ObjectMeta{Name: "team-a"}}
	p.Spec.Owner = v1alpha1.Subject{Kind: v1alpha1.User, Name: "ann"}
	p.Spec.Members = []v1alpha1.Member{{Subject: v1alpha1.Subject{Kind: v1alpha1.UserGroup, Name: "research"}, Role: v1alpha1.RoleViewer}}
	p.Status.Members = new(int32(1))
	p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Message: "All is well."}}
	return []client.Object{p}
}

func TestProfilesAreListed(t *testing.T) {
	got := call(t, team(), nil, "profile")
	want := "NAME     OWNER   MEMBERS   READY   MESSAGE\nteam-a   ann     1         True    All is well.\n"
	if diff := cmp.Diff(want, got.out); diff != "" || got.code != ExitOK {
		t.Errorf("exit code %d (-want +got):\n%s", got.code, diff)
	}
	if list := call(t, team(), nil, "profiles", "-o", "yaml").out; !strings.Contains(list, "kind: Profile") {
		t.Errorf("want a list, got:\n%s", list)
	}
}

func TestMembersComeAndGo(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"show": {[]string{"show", "team-a"}, ExitOK, []string{"User/ann", "admin (owner)", "Group/research", "ServiceAccount/team-a/default-editor"}},
		"a user with an end": {
			[]string{"add", "team-a", "bob", "--role", "admin", "--until", "2099-12-31"}, ExitOK, []string{"User/bob", "2100-01-01T00:00:00Z"},
		},
		"another role": {[]string{"add", "team-a", "group:research", "--role", "editor"}, ExitOK, []string{"Group/research", "editor"}},
		"an account":   {[]string{"add", "team-a", "serviceaccount:ci:bot"}, ExitOK, []string{"ServiceAccount/ci/bot"}},
		"half an account": {
			[]string{"add", "team-a", "serviceaccount:ci"}, ExitError, []string{"serviceaccount:NAMESPACE:NAME"},
		},
		"the owner":     {[]string{"add", "team-a", "ann"}, ExitError, []string{"owner"}},
		"no date":       {[]string{"add", "team-a", "bob", "--until", "soon"}, ExitError, []string{"--until"}},
		"gone":          {[]string{"remove", "team-a", "group:research"}, ExitOK, []string{"User/ann"}},
		"nobody":        {[]string{"remove", "team-a", "bob"}, ExitNotFound, []string{"no member"}},
		"no profile":    {[]string{"show", "team-b"}, ExitNotFound, []string{"team-b"}},
		"without names": {[]string{"add", "team-a"}, ExitError, []string{"at least 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := call(t, team(), nil, append([]string{"profile"}, c.args...)...)
			if got.code != c.code {
				t.Errorf("exit code %d, want %d: %s", got.code, c.code, got.err)
			}
			for _, part := range c.want {
				if !strings.Contains(got.out+got.err, part) {
					t.Errorf("want %q in:\n%s%s", part, got.out, got.err)
				}
			}
			if name == "gone" && strings.Contains(got.out, "Group/research") {
				t.Errorf("the member is still there:\n%s", got.out)
			}
		})
	}
}
