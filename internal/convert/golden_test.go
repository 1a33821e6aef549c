// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/millrace-ml/millrace/config/crd"
	"github.com/millrace-ml/millrace/internal/convert"
	"github.com/millrace-ml/millrace/internal/offline"
	"github.com/millrace-ml/millrace/test/golden"
)

// TestConversions compares what becomes of every case of testdata, and holds the jobs to what an API server would store.
func TestConversions(t *testing.T) {
	schemas := load(t)
	files, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".in.yaml"), func(t *testing.T) {
			documents, faults := run(t, file)
			admit(t, schemas, documents)
			text, err := convert.Write(documents)
			if err != nil {
				t.Fatal(err)
			}
			for _, fault := range faults {
				text = append(text, "# fault: "+fault+"\n"...)
			}
			golden.Compare(t, strings.Replace(file, ".in.", ".want.", 1), text)
		})
	}
}

// TestCorpus converts manifests of the projects users come from, where they are at hand.
func TestCorpus(t *testing.T) {
	root := filepath.Join("..", "..", "..", "shared", "corpus", "training")
	if _, err := os.Stat(root); err != nil {
		t.Skip("no corpus:", err)
	}
	schemas := load(t)
	err := filepath.WalkDir(root, func(file string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(file) != ".yaml" {
			return err
		}
		t.Run(filepath.Base(filepath.Dir(file))+"/"+filepath.Base(file), func(t *testing.T) {
			documents, faults := run(t, file)
			if len(faults) > 0 {
				t.Error(faults)
			}
			if admit(t, schemas, documents) == 0 {
				t.Error("no TrainingJob")
			}
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// run converts the objects of a file.
func run(t *testing.T, file string) (documents []convert.Document, faults []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var objects []map[string]any
	for _, document := range offline.Split(filepath.Base(file), text) {
		document.Complete = convert.Complete
		found, problems := document.Objects()
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		for _, o := range found {
			objects = append(objects, o.Object)
		}
	}
	converter, err := convert.New(objects)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		result, err := converter.Convert(o)
		if fault := (*convert.Fault)(nil); errors.As(err, &fault) {
			faults = append(faults, fault.Error())
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if result.Absorbed {
			continue
		}
		if len(result.Objects) == 0 {
			result.Objects = append(result.Objects, o)
		}
		for i, content := range result.Objects {
			d := convert.Document{Content: content}
			if i == 0 {
				d.Remarks = result.Remarks
			}
			documents = append(documents, d)
		}
	}
	return documents, faults
}

// admit fails for every job that an API server would refuse, and returns the number of jobs.
func admit(t *testing.T, schemas offline.Schemas, documents []convert.Document) int {
	t.Helper()
	jobs := 0
	for _, d := range documents {
		o := &unstructured.Unstructured{Object: d.Content}
		if !schemas.Has(o.GroupVersionKind()) {
			continue
		}
		jobs++
		if _, refusal := schemas.Admit(t.Context(), o, "default"); !refusal.Empty() {
			t.Errorf("%s is refused: %v %v", o.GetName(), refusal.Unknown, refusal.Invalid)
		}
	}
	return jobs
}

func load(t *testing.T) offline.Schemas {
	t.Helper()
	schemas, err := offline.Load(crd.FS)
	if err != nil {
		t.Fatal(err)
	}
	return schemas
}
