// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// clean is a job that is carried over whole; lossy asks for a queue; broken has no roles.
const (
	clean = `apiVersion: kubeflow.org/v1
kind: PyTorchJob
metadata: {name: digits}
spec:
  runPolicy: {backoffLimit: 3}
  pytorchReplicaSpecs:
    Master: {template: {spec: {containers: [{name: pytorch, image: "digits:1"}]}}}
    Worker: {replicas: 2, template: {spec: {containers: [{name: pytorch, image: "digits:1"}]}}}
`
	lossy = `apiVersion: kubeflow.org/v1
kind: PyTorchJob
metadata: {name: queued}
spec:
  runPolicy: {schedulingPolicy: {queue: gpu}, backoffLimit: 3}
  pytorchReplicaSpecs: {Worker: {template: {spec: {containers: [{name: pytorch, image: "digits:1"}]}}}}
`
	broken = `apiVersion: kubeflow.org/v1
kind: PyTorchJob
metadata: {name: empty}
spec: {}
`
	service = `apiVersion: v1
kind: Service # the store
metadata: {name: etcd}
`
)

// pipe runs mill with a text on standard input.
func pipe(t *testing.T, in string, args ...string) said {
	t.Helper()
	var out, errs bytes.Buffer
	p := &Program{
		Name: "mill", In: strings.NewReader(in), Out: &out, Err: &errs,
		Getenv: func(string) string { return "" }, Width: func(io.Writer) int { return 0 }, Now: func() time.Time { return noon },
	}
	code := p.Run(t.Context(), args)
	return said{out.String(), errs.String(), code}
}

func TestConvertSaysWhatIsLost(t *testing.T) {
	const queue = "not carried over: spec.runPolicy.schedulingPolicy.queue: "
	cases := map[string]struct {
		in       string
		args     []string
		wantCode int
		wantOut  string
		wantErr  string
	}{
		"a job that is carried over whole, strictly":   {clean, []string{"--strict"}, ExitOK, "kind: TrainingJob", ""},
		"what is lost is a comment":                    {lossy, nil, ExitOK, "# " + queue, ""},
		"strictly it is a failure, with file and line": {lossy, []string{"--strict"}, ExitError, "# " + queue, `<stdin>:5: document 1: PyTorchJob "queued": ` + queue},
		"JSON has no comments":                         {lossy, []string{"-o", "json"}, ExitOK, `"kind": "TrainingJob"`, queue},
		"a job without roles is told by its field":     {broken + "---\n" + clean, nil, ExitError, "name: digits", `<stdin>:4: document 1: PyTorchJob "empty": spec.pytorchReplicaSpecs: Required value`},
		"malformed YAML does not keep the rest":        {"a: [\n---\n" + clean, nil, ExitError, "name: digits", "<stdin>:1: document 1: malformed YAML"},
		"other objects stay as they are":               {service + "---\n" + clean, []string{"--strict"}, ExitOK, service + "---\napiVersion: millrace.dev/v1alpha1\n", ""},
		"nothing at all":                               {"# nothing\n", nil, ExitError, "", "no object in -"},
		"a table of manifests":                         {clean, []string{"-o", "table"}, ExitError, "", "must be one of yaml, json"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := pipe(t, tc.in, append([]string{"convert", "-f", "-"}, tc.args...)...)
			if got.code != tc.wantCode || !strings.Contains(got.out, tc.wantOut) || !strings.Contains(got.err, tc.wantErr) {
				t.Errorf("got %+v", got)
			}
			if tc.wantErr == "" && got.err != "" {
				t.Errorf("said %q", got.err)
			}
		})
	}
	if got := pipe(t, "", "convert"); got.code != ExitError || !strings.Contains(got.err, "name manifests with -f") {
		t.Errorf("without files: %+v", got)
	}
}

func TestConvertedJobsCanBePlanned(t *testing.T) {
	converted := pipe(t, service+"---\n"+clean, "convert", "-f", "-")
	got := pipe(t, converted.out, "plan", "-f", "-", "-o", "table")
	if got.code != ExitOK || strings.Count(got.out, "Pod ") != 3 {
		t.Errorf("got %+v of\n%s", got, converted.out)
	}
}

func TestARoleBindingOfMembersIsLeftOut(t *testing.T) {
	const team = `{apiVersion: kubeflow.org/v1, kind: Profile, metadata: {name: team}, spec: {owner: {kind: User, name: ann}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: bob, namespace: team}
roleRef: {kind: ClusterRole, name: kubeflow-edit}
subjects: [{kind: User, name: bob}]
`
	if got := pipe(t, team, "convert", "-f", "-"); got.code != ExitOK || strings.Contains(got.out, "kind: RoleBinding") || !strings.Contains(got.out, "role: editor") {
		t.Errorf("got %+v", got)
	}
}

func TestConvertReadsDirectoriesWithThoseBelow(t *testing.T) {
	root := t.TempDir()
	for path, text := range map[string]string{"a.yaml": service, "b/c.yml": clean, "b/notes.txt": "no manifest"} {
		file := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := pipe(t, "", "convert", "-f", root)
	if diff := cmp.Diff(2, strings.Count(got.out, "apiVersion:")); diff != "" || got.code != ExitOK {
		t.Errorf("got %+v", got)
	}
}
