// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"bytes"
	"go/ast"
	"path"
	"slices"
	"strconv"
	"strings"
)

// licence is what every Go file begins with, after build constraints.
var licence = []byte("// Copyright The Millrace Authors.\n// SPDX-License-Identifier: Apache-2.0\n")

func header(f *file) []Violation {
	if bytes.Contains(f.source[:f.fset.Position(f.ast.Package).Offset], licence) {
		return nil
	}
	return []Violation{{f.path, 1, "header", "the file does not begin with the text of hack/boilerplate.go.txt"}}
}

func packageName(f *file) []Violation {
	if !slices.Contains(badPackageNames, f.ast.Name.Name) {
		return nil
	}
	return []Violation{f.at(f.ast.Package, "package-name", "package %s: name it after what it holds", f.ast.Name.Name)}
}

func imports(f *file) []Violation {
	var found []Violation
	for _, spec := range f.ast.Imports {
		what, _ := strconv.Unquote(spec.Path.Value)
		for _, r := range importRules {
			if r.place.has(f) && r.refuses(what) {
				found = append(found, f.at(spec.Pos(), r.name, "imports %s: %s", what, r.why))
			}
		}
		if sibling(f, what) {
			found = append(found, f.at(spec.Pos(), "sibling-controller", "imports %s: kinds meet through the API", what))
		}
	}
	return found
}

func (r importRule) refuses(what string) bool {
	below := func(p string) bool { return what == p || strings.HasPrefix(what, p+"/") }
	if slices.ContainsFunc(r.deny, below) {
		return true
	}
	return len(r.only) > 0 && !standard(what) && !slices.ContainsFunc(r.only, below)
}

// standard says whether an import path is of the standard library: its first element has no dot.
func standard(what string) bool {
	first, _, _ := strings.Cut(what, "/")
	return !strings.Contains(first, ".")
}

// sibling says whether a file of one controller package imports another one.
func sibling(f *file, what string) bool {
	kind, ok := strings.CutPrefix(what, Module+"/controllers/")
	if !ok || f.isTest() || !f.in("controllers") || f.dir() == "controllers" {
		return false
	}
	first, _, _ := strings.Cut(kind, "/")
	return !f.in("controllers/" + first)
}

func names(f *file) []Violation {
	packages := map[string]string{}
	for _, spec := range f.ast.Imports {
		what, _ := strconv.Unquote(spec.Path.Value)
		packages[localName(spec, what)] = what
	}
	var found []Violation
	ast.Inspect(f.ast, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := s.X.(*ast.Ident)
		if !ok || packages[x.Name] == "" {
			return true
		}
		for _, r := range nameRules {
			if r.pkg == packages[x.Name] && slices.Contains(r.names, s.Sel.Name) && r.place.has(f) {
				found = append(found, f.at(s.Pos(), r.name, "uses %s.%s: %s", x.Name, s.Sel.Name, r.why))
			}
		}
		return true
	})
	return found
}

func localName(spec *ast.ImportSpec, what string) string {
	if spec.Name != nil {
		return spec.Name.Name
	}
	// The second major version of a package keeps the package's name.
	return path.Base(strings.TrimSuffix(what, "/v2"))
}

// goroutines are the engine's and the Runnables': a controller that starts one outlives its own reconcile.
func goroutines(f *file) []Violation {
	var found []Violation
	if !f.in("controllers") || f.isTest() {
		return nil
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if g, ok := n.(*ast.GoStmt); ok {
			found = append(found, f.at(g.Pos(), "goroutine", "controllers start no goroutines"))
		}
		return true
	})
	return found
}

func suppressions(f *file) []Violation {
	var found []Violation
	if !f.in("controllers") {
		return nil
	}
	for _, group := range f.ast.Comments {
		for _, c := range group.List {
			if strings.HasPrefix(strings.TrimSpace(strings.TrimPrefix(c.Text, "//")), "nolint") {
				found = append(found, f.at(c.Pos(), "nolint", "controllers/ suppresses no linter: change the code"))
			}
		}
	}
	return found
}
