// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// sources are the declarations of the reasons that a page explains.
var sources = map[string][]string{
	"trainingjob.md":  {"trainingjob_status.go", "scheduling_types.go"},
	"accelerators.md": {"accelerator_status.go"},
	"notebook.md":     {"notebook_status.go"},
	"profile.md":      {"profile_status.go"},
	"poddefault.md":   {"poddefault_status.go"},
}

// TestEveryReasonIsDocumented reads the reasons from their declarations, so that a new one cannot be forgotten.
func TestEveryReasonIsDocumented(t *testing.T) {
	for page, files := range sources {
		for _, source := range files {
			t.Run(page+" "+source, func(t *testing.T) { documented(t, "../../docs/"+page, "../../api/v1alpha1/"+source) })
		}
	}
}

// documented fails for each reason that a file declares and a page does not name.
func documented(t *testing.T, path, source string) {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		found++
		reason, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), "`"+reason+"`") {
			t.Errorf("%s does not say what %s means", path, reason)
		}
		return false
	})
	if found == 0 {
		t.Fatal("no reasons are declared where this test looks")
	}
}
