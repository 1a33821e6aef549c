// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/internal/cli"
	"github.com/millrace-ml/millrace/internal/convert"
	"github.com/millrace-ml/millrace/internal/kueue"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/offline"
	"github.com/millrace-ml/millrace/test/golden"
)

const (
	cases  = "../../internal/convert/testdata"
	corpus = "../../../shared/corpus/training"
)

// TestContracts compares what `mill convert | mill plan` gives to pods with what the original operators give them. The
// expectations are written beside the cases, for people to read.
func TestContracts(t *testing.T) {
	files, err := filepath.Glob(cases + "/*.in.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".in.yaml"), func(t *testing.T) {
			if want := compare(t, file); len(want) > 0 {
				keep(t, strings.Replace(file, ".in.", ".env.", 1), want)
			}
		})
	}
}

// TestCorpus does so for the manifests of the projects users come from, where they are at hand.
func TestCorpus(t *testing.T) {
	if _, err := os.Stat(corpus); err != nil {
		t.Skip("no corpus:", err)
	}
	files, err := filepath.Glob(corpus + "/*/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(filepath.Dir(file))+"/"+filepath.Base(file), func(t *testing.T) {
			if len(compare(t, file)) == 0 {
				t.Error("no job whose contract is known")
			}
		})
	}
}

// compare compares every job of a file whose contract is known, and returns the expectations.
func compare(t *testing.T, file string) []expectation {
	t.Helper()
	var all []expectation
	for _, object := range read(t, file) {
		if !convertible(t, object) {
			continue
		}
		o, c, known := readOriginal(t, object)
		if !known {
			continue
		}
		all = append(all, expected(o, c, nil))
		if diff := cmp.Diff(deliberate(o, c), planned(t, o, c, object)); diff != "" {
			t.Errorf("%s %s: the original (-) and the plan (+) differ:\n%s", o.Kind, o.Name, diff)
		}
	}
	return all
}

func read(t *testing.T, file string) []map[string]any {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var found []map[string]any
	for _, document := range offline.Split(file, text) {
		document.Complete = convert.Complete
		objects, problems := document.Objects()
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		for _, o := range objects {
			found = append(found, o.Object)
		}
	}
	return found
}

// convertible is false for an object that is refused with a reason.
func convertible(t *testing.T, object map[string]any) bool {
	t.Helper()
	converter, err := convert.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = converter.Convert(object)
	if fault := (*convert.Fault)(nil); err != nil && !errors.As(err, &fault) {
		t.Fatal(err)
	}
	return err == nil
}

// planned is what the pods of a job get from `mill convert | mill plan`.
func planned(t *testing.T, o original, c contract, object map[string]any) expectation {
	t.Helper()
	awake(object)
	manifest, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	list := mill(t, mill(t, string(manifest), "convert"), "plan")
	hosts := hostsOf(o, c)
	got := expectation{Job: o.Kind + " " + o.Name, Pods: map[string]map[string]env{}}
	for _, document := range offline.Split("plan", []byte(list)) {
		objects, problems := document.Objects()
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		for _, o := range objects {
			got.add(t, hosts, o.Unstructured)
		}
	}
	return got
}

// awake lets a job run now and here: one that is suspended, waits in a queue of Kueue or is another controller's has no pods.
func awake(object map[string]any) {
	unstructured.RemoveNestedField(object, "metadata", "labels", kueue.QueueLabel)
	for _, field := range []string{"suspend", "managedBy"} {
		unstructured.RemoveNestedField(object, "spec", "runPolicy", field)
	}
}

func (e *expectation) add(t *testing.T, hosts hosts, o *unstructured.Unstructured) {
	t.Helper()
	switch o.GetKind() {
	case "Pod":
		var pod corev1.Pod
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &pod); err != nil {
			t.Fatal(err)
		}
		containers := map[string]env{}
		for _, c := range pod.Spec.Containers {
			own := envOf(c)
			delete(own, names.EnvAttempt) // every container of every framework has it
			containers[c.Name] = hosts.in(own)
		}
		e.Pods[pod.Name] = containers
	case "ConfigMap":
		data, _, _ := unstructured.NestedStringMap(o.Object, "data")
		e.Files = map[string][]string{}
		for name, text := range data {
			// Every job that is launched has the script for elastic Horovod; nothing of Chainer's reads it.
			if name != "discover_hosts.sh" || !strings.HasPrefix(e.Job, "ChainerJob") {
				e.Files[name] = hosts.lines(text)
			}
		}
	}
}

// mill runs a subcommand on a manifest.
func mill(t *testing.T, manifest, command string) string {
	t.Helper()
	out, code, errs := try(t, manifest, command)
	if code != cli.ExitOK {
		t.Fatalf("mill %s exits %d and says %s", command, code, errs)
	}
	return out
}

func keep(t *testing.T, file string, want []expectation) {
	t.Helper()
	text, err := yaml.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, file, text)
}
