// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package golden compares what tests produce with files.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Compare fails a test when a file does not hold what it produced. With -update it writes the file instead.
func Compare(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got), -update rewrites it:\n%s", file, diff)
	}
}

// Cases plays every case of testdata, name.in.yaml, and compares what it comes to with name.want.yaml.
func Cases[C any](t *testing.T, play func(*testing.T, *C) any) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".in.yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var c C
			if err := yaml.UnmarshalStrict(text, &c); err != nil {
				t.Fatal(err)
			}
			out, err := yaml.Marshal(play(t, &c))
			if err != nil {
				t.Fatal(err)
			}
			Compare(t, strings.Replace(file, ".in.", ".want.", 1), out)
		})
	}
}
