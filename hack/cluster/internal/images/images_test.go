// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package images

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace-ml/millrace/hack/cluster/internal/paths"
)

// TestKey: an archive is found again by its key, so what changes an image must change the key, and nothing else may.
func TestKey(t *testing.T) {
	repo := t.TempDir()
	write := func(file, text string) {
		t.Helper()
		path := filepath.Join(repo, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := Cache{paths: paths.Paths{Repo: repo}}
	i := table["pytorch-digits"]
	key := func() string {
		t.Helper()
		sources, err := c.sources(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		key, err := c.key("pytorch-digits", i, sources)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	write(i.dockerfile, "FROM debian")
	write(table[base].dockerfile, "FROM scratch")
	write(i.context+"/train.py", "one")
	first := key()
	write("README.md", "changed")
	if key() != first {
		t.Error("a file that is not in the image changes its key")
	}
	write(i.context+"/train.py", "two")
	second := key()
	if second == first {
		t.Error("a changed file keeps the key")
	}
	write(table[base].dockerfile, "FROM something else")
	if key() == second {
		t.Error("a changed base keeps the key")
	}
}
