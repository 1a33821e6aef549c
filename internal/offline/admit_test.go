// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package offline_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/config/crd"
	"github.com/millrace-ml/millrace/internal/envtest"
	"github.com/millrace-ml/millrace/internal/offline"
	"github.com/millrace-ml/millrace/test/golden"
)

func TestMain(m *testing.M) { os.Exit(envtest.Main(m)) }

// TestAnswers compares what becomes of every file of testdata with the golden file beside it: the object that would be
// stored, or the problems.
func TestAnswers(t *testing.T) {
	schemas := load(t)
	for _, file := range files(t, "testdata/*.yaml", "testdata/yaml/*") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			golden.Compare(t, strings.TrimSuffix(strings.TrimSuffix(file, ".yaml"), ".json")+".want", []byte(answer(t, schemas, file)))
		})
	}
}

// TestRulesAreCheap bounds what admission of a small job allocates, which is most of what it costs an API server. A rule that reads
// fields of a pod from above copies the schema of the whole pod for each: see hack/crds/sink.go. Rules over the job took 675 KiB
// when four of them did.
func TestRulesAreCheap(t *testing.T) {
	schemas := load(t)
	o := read(t, "testdata/minimal.yaml")[0]
	admit := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			schemas.Admit(b.Context(), o.Unstructured, "default")
		}
	})
	if got, limit := admit.AllocedBytesPerOp()>>10, int64(700); got > limit {
		t.Errorf("admission allocates %d KiB, want at most %d", got, limit)
	}
}

// TestServerAgrees sends every object of testdata, and all that conversions come to, to an API server, as a dry run with strict validation, and compares
// its answer with ours.
func TestServerAgrees(t *testing.T) {
	server := envtest.Start(t)
	cluster := client.NewNamespacedClient(server.Client(t, runtime.NewScheme()), server.Namespace(t))
	schemas := load(t)
	for _, file := range files(t, "testdata/*.yaml", "../../config/samples/*.yaml", "../convert/testdata/*.want.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			for _, o := range read(t, file) {
				if strings.HasPrefix(file, "../convert") && !schemas.Has(o.GroupVersionKind()) {
					continue // what comes beside, and is left as it is
				}
				ours, refusal := schemas.Admit(t.Context(), o.Unstructured, "default")
				theirs := o.DeepCopy()
				theirs.SetNamespace("") // of the test
				err := cluster.Create(t.Context(), theirs, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
				if diff := cmp.Diff(complaints(err), words(refusal)); diff != "" {
					t.Errorf("the server's complaints (-) and ours (+) differ:\n%s", diff)
				}
				if err != nil || !refusal.Empty() {
					continue
				}
				if diff := cmp.Diff(withoutNoise(theirs), withoutNoise(ours)); diff != "" {
					t.Errorf("the server's object (-) and ours (+) differ:\n%s", diff)
				}
			}
		})
	}
}

// complaints are what the server says is wrong, without the sentence around it.
func complaints(err error) []string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		if err != nil {
			return []string{err.Error()}
		}
		return nil
	}
	if _, strict, ok := strings.Cut(status.Status().Message, "strict decoding error: "); ok {
		return strings.Split(strict, ", ")
	}
	var found []string
	for _, cause := range status.Status().Details.Causes {
		found = append(found, cause.Field+": "+cause.Message)
	}
	slices.Sort(found)
	return found
}

// words are our complaints in the server's form: it stops at unknown fields.
func words(r offline.Refusal) []string {
	var found []string
	for _, path := range r.Unknown {
		found = append(found, `unknown field "`+path+`"`)
	}
	if len(found) > 0 {
		return found
	}
	for _, err := range r.Invalid {
		found = append(found, err.Field+": "+err.ErrorBody())
	}
	slices.Sort(found) // schemas are walked in the order of a map
	return found
}

// withoutNoise leaves out what only a server can know.
func withoutNoise(o *unstructured.Unstructured) map[string]any {
	o = o.DeepCopy()
	for _, name := range []string{"creationTimestamp", "uid", "managedFields", "namespace", "resourceVersion"} {
		unstructured.RemoveNestedField(o.Object, "metadata", name)
	}
	if o.GetGenerateName() != "" {
		o.SetName("")
	}
	return o.Object
}

func load(t *testing.T) offline.Schemas {
	t.Helper()
	schemas, err := offline.Load(crd.FS)
	if err != nil {
		t.Fatal(err)
	}
	return schemas
}

func files(t *testing.T, patterns ...string) []string {
	t.Helper()
	var found []string
	for _, pattern := range patterns {
		some, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range some {
			if !strings.HasSuffix(file, ".want") {
				found = append(found, file)
			}
		}
	}
	if len(found) == 0 {
		t.Fatal("no test data")
	}
	return found
}

func read(t *testing.T, file string) []offline.Object {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var objects []offline.Object
	for _, document := range offline.Split(filepath.Base(file), text) {
		found, problems := document.Objects()
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		objects = append(objects, found...)
	}
	return objects
}

// answer is everything there is to say about a file.
func answer(t *testing.T, schemas offline.Schemas, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, document := range offline.Split(filepath.Base(file), text) {
		objects, problems := document.Objects()
		for _, o := range objects {
			if why, unknown := schemas.Unknown(o.GroupVersionKind()); unknown {
				problems = append(problems, o.Problem("kind", why))
				continue
			}
			if !schemas.Has(o.GroupVersionKind()) {
				out.WriteString("context: " + o.String() + "\n")
				continue
			}
			stored, refusal := schemas.Admit(t.Context(), o.Unstructured, "default")
			problems = append(problems, refusal.Problems(o)...)
			if refusal.Empty() {
				unstructured.RemoveNestedField(stored.Object, "status")
				written, err := yaml.Marshal(stored)
				if err != nil {
					t.Fatal(err)
				}
				out.WriteString(string(written))
			}
		}
		for _, p := range problems {
			out.WriteString(p.Error() + "\n")
		}
	}
	return out.String()
}
