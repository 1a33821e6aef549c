// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata/want.txt")

func TestRepositoryKeepsItsArchitecture(t *testing.T) {
	found, err := Check("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		t.Error(v)
	}
}

// The tree below testdata/repo breaks every rule at least once, and keeps each of them next to where it is broken.
func TestEveryRuleReports(t *testing.T) {
	found, err := Check("testdata/repo")
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	rules := map[string]bool{}
	for _, v := range found {
		got.WriteString(v.String() + "\n")
		rules[v.Rule] = true
	}
	if *update {
		if err := os.WriteFile("testdata/want.txt", []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/want.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("violations below testdata/repo (-want +got):\n%s", diff)
	}
	for _, rule := range everyRule() {
		if !rules[rule] {
			t.Errorf("no file below testdata/repo breaks the rule %s", rule)
		}
	}
}

func everyRule() []string {
	all := []string{
		"header", "package-name", "file-length", "function-length", "parameters", "results", "nesting",
		"sibling-controller", "goroutine", "nolint",
	}
	for _, r := range importRules {
		all = append(all, r.name)
	}
	for _, r := range nameRules {
		all = append(all, r.name)
	}
	return all
}
