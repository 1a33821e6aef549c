// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/test/golden"
)

func read(t *testing.T) []byte {
	t.Helper()
	raw, err := os.ReadFile("testdata/widgets.in.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func write(t *testing.T, path string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFinishStripsAndBoundsBelowPodSpecsOnly(t *testing.T) {
	got, _, err := finish(read(t))
	if err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "testdata/widgets.want.yaml", got)
}

func TestFinishingTwiceChangesNothing(t *testing.T) {
	once, _, err := finish(read(t))
	if err != nil {
		t.Fatal(err)
	}
	twice, _, err := finish(once)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(once), string(twice)); diff != "" {
		t.Errorf("the second time (-once +twice):\n%s", diff)
	}
}

// The rules of the fixture read a list of a list of a pod: the reason for the bounds.
func TestRulesOverTemplatesNeedTheBounds(t *testing.T) {
	var raw apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(read(t), &raw); err != nil {
		t.Fatal(err)
	}
	if err := validate(&raw); err == nil || !strings.Contains(err.Error(), "exceeds budget") {
		t.Errorf("validate as controller-gen made it: %v, want an error about the budget", err)
	}
}

func TestFinishRefuses(t *testing.T) {
	widget := string(read(t))
	const own = "list is ours and is left as it is., type: array,"
	for name, c := range map[string]struct{ from, to, want string }{
		"a definition too large for client-side apply": {
			from: "name is ours and is left as it is.", to: strings.Repeat("long ", 60000), want: "bytes of JSON, of at most 261120",
		},
		"a rule the API server cannot compile": {
			from: "self == oldSelf", to: "self.nonsense", want: "undefined field 'nonsense'",
		},
		"a rule beyond the cost budget": {
			from: own, to: own + ` x-kubernetes-validations: [{rule: "self.all(a, self.all(b, self.all(c, a + b + c != '')))"}],`,
			want: "exceeds budget",
		},
		"a rule of a template about a field it does not have": {
			from: "fieldPath: .spec.containers,", to: "fieldPath: .spec.containers.image,", want: "about .spec.containers.image, which a template does not have",
		},
		"a field controller-gen never writes": {
			from: "scope: Namespaced", to: "scopes: Namespaced", want: "unknown field",
		},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(widget, c.from, c.to, 1)
			if changed == widget {
				t.Fatalf("the fixture does not hold %q", c.from)
			}
			_, _, err := finish([]byte(changed))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("finish: %v, want an error that says %q", err, c.want)
			}
		})
	}
}

func TestRunWritesOnlyWhatChanged(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	write(t, filepath.Join(in, "widgets.yaml"), read(t))
	write(t, filepath.Join(out, "gone.yaml"), nil)
	var first, second bytes.Buffer
	if err := run(in, out, &first); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"widgets.yaml: ", "gone.yaml: removed"} {
		if !strings.Contains(first.String(), want) {
			t.Errorf("the first run says %q, want it to say %q", first.String(), want)
		}
	}
	if err := run(in, out, &second); err != nil {
		t.Fatal(err)
	}
	if second.Len() > 0 {
		t.Errorf("the second run says %q, want nothing", second.String())
	}
	if err := run(t.TempDir(), out, &second); err == nil {
		t.Error("a run over no definitions succeeds, and would remove all that are there")
	}
}
