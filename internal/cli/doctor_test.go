// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/config/crd"
	"github.com/millrace-ml/millrace/config/rbac"
	"github.com/millrace-ml/millrace/test/golden"
)

// answers is a cluster as a file describes it.
type answers struct {
	// Installed is true where config/install.yaml was applied.
	Installed bool `json:"installed"`
	// Otherwise is what it says to all it has no answer to: nothing there, or forbidden.
	Otherwise string         `json:"otherwise"`
	Answers   map[string]any `json:"answers"`
}

// raw answers as an API server does.
func (a answers) raw(_ context.Context, path string) ([]byte, error) {
	answer, there := a.Answers[path]
	switch text, isText := answer.(string); {
	case isText && text == "forbidden", !there && a.Otherwise == "forbidden":
		return nil, apierrors.NewForbidden(schema.GroupResource{}, "", errors.New(path))
	case !there:
		return nil, apierrors.NewNotFound(schema.GroupResource{}, path)
	case isText:
		return []byte(text), nil
	}
	return json.Marshal(answer)
}

// install adds what config/install.yaml makes, unless the file says it is otherwise.
func (a answers) install(t *testing.T) {
	t.Helper()
	files, err := crd.FS.ReadDir("bases")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := crd.FS.ReadFile("bases/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		a.add(t, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/", text)
	}
	a.add(t, "/apis/rbac.authorization.k8s.io/v1/clusterroles/", rbac.Role)
	a.add(t, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/", []byte("metadata: {name: millrace-manager}"))
}

func (a answers) add(t *testing.T, at string, text []byte) {
	t.Helper()
	var object map[string]any
	if err := yaml.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	path := at + object["metadata"].(map[string]any)["name"].(string)
	if _, said := a.Answers[path]; !said {
		a.Answers[path] = object
	}
}

func readAnswers(t *testing.T, file string) answers {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var a answers
	if err := yaml.UnmarshalStrict(text, &a); err != nil {
		t.Fatal(err)
	}
	if a.Installed {
		a.install(t)
	}
	return a
}

func TestDoctor(t *testing.T) {
	wantCodes := map[string]int{"bare": ExitFailed, "whole": ExitOK, "broken": ExitFailed, "forbidden": ExitOK}
	files, err := filepath.Glob("testdata/doctor/*.in.yaml")
	if err != nil || len(files) != len(wantCodes) {
		t.Fatalf("%d cases, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".in.yaml")
		t.Run(name, func(t *testing.T) {
			got := callOn(t, &Cluster{Raw: readAnswers(t, file).raw}, "doctor")
			if got.code != wantCodes[name] || got.err != "" {
				t.Errorf("exit code %d, %q", got.code, got.err)
			}
			golden.Compare(t, strings.TrimSuffix(file, ".in.yaml")+".want.txt", []byte(got.out))
		})
	}
}

func TestDoctorForScripts(t *testing.T) {
	cluster := &Cluster{Raw: readAnswers(t, "testdata/doctor/whole.in.yaml").raw}
	for _, format := range []string{"json", "yaml"} {
		got := callOn(t, cluster, "doctor", "-o", format)
		var list struct {
			Items []finding `json:"items"`
		}
		if err := yaml.UnmarshalStrict([]byte(got.out), &list); err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		want := finding{Check: "kubernetes", Status: fine, Required: true, Found: "v1.37.2"}
		if len(list.Items) < len(checks) || list.Items[0] != want {
			t.Errorf("%s: %+v", format, list.Items)
		}
	}
}

func TestDoctorNeedsAnAnswer(t *testing.T) {
	got := callOn(t, &Cluster{Raw: answers{Otherwise: "forbidden"}.raw}, "doctor")
	if got.code != ExitError || got.out != "" || !strings.Contains(got.err, "not allowed") {
		t.Errorf("got %+v", got)
	}
}

func TestARuleAboutNamedObjectsCoversThoseOnly(t *testing.T) {
	bind := func(names ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{
			APIGroups: []string{"rbac.authorization.k8s.io"}, Resources: []string{"clusterroles"}, Verbs: []string{"bind"}, ResourceNames: names,
		}
	}
	for about, tc := range map[string]struct {
		want, has rbacv1.PolicyRule
		lacking   int
	}{
		"the same names": {want: bind("a", "b"), has: bind("b", "a")},
		"a name is gone": {want: bind("a", "b"), has: bind("a"), lacking: 1},
		"all there are":  {want: bind("a"), has: bind()},
		"names for all":  {want: bind(), has: bind("a"), lacking: 1},
	} {
		t.Run(about, func(t *testing.T) {
			if got := lacking([]rbacv1.PolicyRule{tc.want}, []rbacv1.PolicyRule{tc.has}); len(got) != tc.lacking {
				t.Errorf("lacking %v, want %d", got, tc.lacking)
			}
		})
	}
}
