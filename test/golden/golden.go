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
	CasesIn(t, "testdata", play)
}

// CasesIn plays the cases of a directory. What they come to is compared as YAML, or as it is where it is text.
func CasesIn[C any](t *testing.T, dir string, play func(*testing.T, *C) any) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.in.yaml"))
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
			want, got := strings.Replace(file, ".in.", ".want.", 1), play(t, &c)
			if text, ok := got.(string); ok {
				Compare(t, want, []byte(text))
				return
			}
			out, err := yaml.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			Compare(t, want, out)
		})
	}
}
