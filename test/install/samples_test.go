// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/internal/cli"
)

// TestSamplesPlan plans every sample, so that none is refused by the schema or by the manager.
func TestSamplesPlan(t *testing.T) {
	samples, err := filepath.Glob("../../config/samples/*.yaml")
	if err != nil || len(samples) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for _, sample := range samples {
		t.Run(filepath.Base(sample), func(t *testing.T) {
			var out, errs bytes.Buffer
			mill := cli.Program{
				Name: "mill", In: strings.NewReader(""), Out: &out, Err: &errs, Getenv: func(string) string { return "" },
				Width: func(io.Writer) int { return 0 }, Now: time.Now,
			}
			code := mill.Run(t.Context(), []string{"plan", "-f", sample})
			if problems := strings.TrimPrefix(errs.String(), "note: "); code != cli.ExitOK || problems == errs.String() && problems != "" {
				t.Errorf("mill plan exits %d and says %s", code, errs.String())
			}
			if !strings.Contains(out.String(), "kind: Service") && !strings.Contains(out.String(), "kind: Job") {
				t.Errorf("want at least a job's Service, or a Job, got:\n%s", out.String())
			}
		})
	}
}
