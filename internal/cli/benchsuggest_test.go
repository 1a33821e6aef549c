// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSearchesAreMeasured(t *testing.T) {
	args := []string{"bench-suggest", "--functions", "Branin,mixed6", "--algorithms", "Random,sobol,Grid", "--seeds", "2", "--trials", "10"}
	for format, want := range map[string]string{
		"table": `FUNCTION       RANDOM   SOBOL   GRID
Branin         8.1      7.9     -
Mixed6         0.346    0.432   -
ms per trial   0        0       0
`,
		"markdown": `| FUNCTION | RANDOM | SOBOL | GRID |
|---|---|---|---|
| Branin | 8.1 | 7.9 | - |
| Mixed6 | 0.346 | 0.432 | - |
| ms per trial | 0 | 0 | 0 |
`,
	} {
		got := call(t, nil, nil, append(args, "-o", format)...)
		if diff := cmp.Diff(want, got.out); diff != "" || got.code != ExitOK {
			t.Errorf("%s: exit code %d (-want +got):\n%s", format, got.code, diff)
		}
	}
	list := call(t, nil, nil, append(args, "-o", "json")...).out
	for _, part := range []string{`"function": "Branin"`, `"median": `, `"refused": "parameters[x1].step: a grid needs a step`} {
		if !strings.Contains(list, part) {
			t.Errorf("the list lacks %s:\n%s", part, list)
		}
	}
}

func TestOnlyWhatExistsIsMeasured(t *testing.T) {
	for flag, want := range map[string]string{
		"--functions=Bran":  "use some of Branin, Hartmann3",
		"--algorithms=Rand": "use some of Random, Grid",
		"--seeds=0":         "at least 1",
	} {
		if got := call(t, nil, nil, "bench-suggest", flag); got.code != ExitError || !strings.Contains(got.err, want) {
			t.Errorf("%s: %+v", flag, got)
		}
	}
	few := call(t, nil, nil, "bench-suggest", "--functions=Branin", "--seeds=1", "--trials=2").out
	header, _, _ := strings.Cut(few, "\n")
	if names := strings.Fields(header); !slices.Contains(names, "MULTIVARIATETPE") || slices.Contains(names, "GRID") || slices.Contains(names, "PBT") {
		t.Errorf("without names: %s", names)
	}
}
