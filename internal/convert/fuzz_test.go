// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	kjson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/internal/offline"
)

// FuzzConvert holds the conversion of any object to what all conversions promise: it does not panic, leaves the object
// as it was, says the same every time, and ends in a job or in a reason.
func FuzzConvert(f *testing.F) {
	addCases(f)
	f.Add([]byte(`{"spec":{"mpiReplicaSpecs":{"launcher":{"replicas":1e9,"template":{"spec":{"containers":[7,{"env":[7]}]}}}}}}`), uint8(7))
	f.Fuzz(func(t *testing.T, text []byte, of uint8) {
		var object map[string]any
		if kjson.Unmarshal(text, &object) != nil || object == nil {
			t.Skip()
		}
		// Any content under any kind: most objects would be passed over by their kind alone.
		if r := rows[int(of)%len(rows)]; object["kind"] != r.kind {
			object["kind"], object["apiVersion"] = r.kind, r.apiVersions[0]
		}
		promises(t, object)
	})
}

func addCases(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, document := range offline.Split(file, text) {
			seed, err := yaml.YAMLToJSON(document.Text)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(seed, uint8(len(seed)))
		}
	}
}

func promises(t *testing.T, object map[string]any) {
	t.Helper()
	before, err := json.Marshal(object)
	if err != nil {
		t.Skip()
	}
	converter, err := New([]map[string]any{object})
	if err != nil {
		t.Fatal(err)
	}
	one, fault := converter.Convert(object)
	two, again := converter.Convert(object)
	if diff := cmp.Diff(one, two); diff != "" || (fault == nil) != (again == nil) {
		t.Errorf("two conversions of one object differ: %v, %v\n%s", fault, again, diff)
	}
	if after, err := json.Marshal(object); err != nil || string(after) != string(before) {
		t.Errorf("the object was changed: %v\n%s\n%s", err, before, after)
	}
	if fault == nil && len(one.Objects) == 0 {
		if _, known := find(object); known {
			t.Error("neither a job nor a reason")
		}
	}
}
