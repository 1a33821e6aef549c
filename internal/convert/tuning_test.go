// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTuningCorpus converts Experiments of Katib, where they are at hand. What searches architectures is refused in words.
func TestTuningCorpus(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "shared", "corpus", "tuning", "katib", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Skip("no corpus:", err)
	}
	schemas := load(t)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			documents, faults := run(t, file)
			if strings.Contains(string(text), "nasConfig") {
				if len(faults) != 1 || !strings.Contains(faults[0], "architectures") {
					t.Errorf("want to be told that architectures are not searched, got %v", faults)
				}
				return
			}
			if len(faults) > 0 || admit(t, schemas, documents) != 1 {
				t.Errorf("want one experiment, got %d documents and %v", len(documents), faults)
			}
		})
	}
}
