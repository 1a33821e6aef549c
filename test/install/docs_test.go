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

// TestEveryReasonIsDocumented reads the reasons from their declarations, so that a new one cannot be forgotten.
func TestEveryReasonIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/trainingjob.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"trainingjob_status.go", "scheduling_types.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), "../../api/v1alpha1/"+name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		documented(t, string(page), file)
	}
}

// documented fails for each reason that a file declares and a page does not name.
func documented(t *testing.T, page string, file *ast.File) {
	t.Helper()
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
		if !strings.Contains(page, "`"+reason+"`") {
			t.Errorf("docs/trainingjob.md does not say what %s means", reason)
		}
		return false
	})
	if found == 0 {
		t.Fatal("no reasons are declared where this test looks")
	}
}
