// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/millrace-ml/millrace/internal/offline"
)

// TestNothingIsDroppedWithoutAWord puts a field that nobody knows into every map of every case: it must be a remark, or
// be in what comes out.
func TestNothingIsDroppedWithoutAWord(t *testing.T) {
	const unknown = "zzz"
	each(t, func(t *testing.T, converter Converter, object map[string]any) {
		spec, path := object["spec"], "spec"
		if object["kind"] == hubKind {
			spec, path = object, ""
		}
		inside(spec, path, func(path string, at map[string]any) {
			at[unknown] = "1"
			defer delete(at, unknown)
			result, err := converter.Convert(object)
			if err != nil || len(result.Objects) == 0 {
				return
			}
			text, err := json.Marshal(result)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), unknown) && !told(result.Remarks, path, at) {
				t.Errorf("%s: the field %s.%s has vanished", name(object), path, unknown)
			}
		})
	})
}

// TestNothingOfARuntimeIsDroppedWithoutAWord does so for the runtimes that come with TrainJobs.
func TestNothingOfARuntimeIsDroppedWithoutAWord(t *testing.T) {
	const unknown = "zzz"
	files(t, func(t *testing.T, objects []map[string]any) {
		for _, r := range runtimesOf(objects) {
			inside(r.spec, "runtime "+r.name, func(path string, at map[string]any) {
				at[unknown] = "1"
				defer delete(at, unknown)
				converter, err := New(objects)
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range objects {
					if !uses(o, r.name) {
						continue
					}
					result, err := converter.Convert(o)
					if err != nil {
						continue
					}
					text, err := json.Marshal(result)
					if err != nil {
						t.Fatal(err)
					}
					if !strings.Contains(string(text), unknown) && !told(result.Remarks, path, at) {
						t.Errorf("%s: the field %s.%s has vanished", name(o), path, unknown)
					}
				}
			})
		}
	})
}

// uses is true of a TrainJob that names a runtime.
func uses(object map[string]any, runtime string) bool {
	spec, _ := object["spec"].(map[string]any)
	ref, _ := spec["runtimeRef"].(map[string]any)
	return object["kind"] == "TrainJob" && ref["name"] == runtime
}

// told is true when a remark is about the map as a whole, or about what is around it: by path, or by the name of a variable.
func told(remarks []Remark, path string, at map[string]any) bool {
	variable, _ := at["name"].(string)
	return slices.ContainsFunc(remarks, func(r Remark) bool {
		return r.Lost && strings.HasPrefix(strings.TrimPrefix(path, "."), r.Path) || variable != "" && strings.HasPrefix(r.Text, variable+" ")
	})
}

// TestAnyTypeAnywhere puts values of every type in every place of every case: nothing panics.
func TestAnyTypeAnywhere(t *testing.T) {
	values := []any{nil, "", "x", int64(-1), int64(7), 1.5, true, []any{}, []any{int64(7)}, map[string]any{}, map[string]any{"x": int64(7)}}
	each(t, func(_ *testing.T, converter Converter, object map[string]any) {
		inside(object, "", func(_ string, at map[string]any) {
			for key, was := range at {
				for _, value := range values {
					at[key] = value
					_, _ = converter.Convert(object)
				}
				at[key] = was
			}
		})
	})
}

// each calls try for every object of the cases.
func each(t *testing.T, try func(*testing.T, Converter, map[string]any)) {
	t.Helper()
	files(t, func(t *testing.T, objects []map[string]any) {
		t.Helper()
		converter, err := New(objects)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			try(t, converter, runtime.DeepCopyJSON(o))
		}
	})
}

// files calls try for the objects of every case.
func files(t *testing.T, try func(*testing.T, []map[string]any)) {
	t.Helper()
	found, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range found {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var objects []map[string]any
		for _, document := range offline.Split(file, text) {
			document.Complete = Complete
			found, _ := document.Objects()
			for _, o := range found {
				objects = append(objects, o.Object)
			}
		}
		try(t, objects)
	}
}

// inside visits every map below a value.
func inside(value any, path string, visit func(string, map[string]any)) {
	switch v := value.(type) {
	case map[string]any:
		if v == nil {
			return
		}
		for key, below := range v {
			inside(below, path+"."+key, visit)
		}
		visit(path, v)
	case []any:
		for i, item := range v {
			inside(item, fmt.Sprintf("%s[%d]", path, i), visit)
		}
	}
}

func name(object map[string]any) any {
	meta, _ := object["metadata"].(map[string]any)
	return meta["name"]
}
