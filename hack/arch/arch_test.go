// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/test/golden"
)

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
	golden.Compare(t, "testdata/want.txt", []byte(got.String()))
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
