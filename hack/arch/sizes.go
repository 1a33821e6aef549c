// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"fmt"
	"go/ast"
	"go/token"
)

// The budgets of the house style.
const (
	maxFileLines     = 400
	maxFunctionLines = 60
	maxParameters    = 5
	maxResults       = 2 // besides the error
	maxNesting       = 3
)

// sizes holds hand-written code to the budgets. Test files are held to the length of a file only: a table of cases is
// long and reads well.
func sizes(f *file) []Violation {
	if f.generated {
		return nil
	}
	var found []Violation
	if n := f.lines(); n > maxFileLines {
		found = append(found, Violation{f.path, n, "file-length", over("lines", n, maxFileLines)})
	}
	if f.isTest() {
		return found
	}
	for _, d := range f.ast.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			found = append(found, function(f, fn)...)
		}
	}
	return found
}

func function(f *file, fn *ast.FuncDecl) []Violation {
	var found []Violation
	report := func(rule, what string, n, limit int) {
		if n > limit {
			found = append(found, f.at(fn.Pos(), rule, "%s: %s", fn.Name.Name, over(what, n, limit)))
		}
	}
	report("parameters", "parameters", fn.Type.Params.NumFields(), maxParameters)
	report("results", "results besides the error", resultsBesidesError(fn.Type.Results), maxResults)
	if fn.Body == nil {
		return found
	}
	line := func(p token.Pos) int { return f.fset.Position(p).Line }
	report("function-length", "lines", line(fn.Body.Rbrace)-line(fn.Pos())+1, maxFunctionLines)
	report("nesting", "levels of nesting", deepest(fn.Body), maxNesting)
	return found
}

func resultsBesidesError(results *ast.FieldList) int {
	n := results.NumFields()
	if n == 0 {
		return 0
	}
	last, ok := results.List[len(results.List)-1].Type.(*ast.Ident)
	if ok && last.Name == "error" {
		return n - 1
	}
	return n
}

// deepest is the nesting of a function or, where that is more, of a function literal in it: a literal starts anew.
func deepest(body *ast.BlockStmt) int {
	most := nesting(body)
	ast.Inspect(body, func(n ast.Node) bool {
		if literal, ok := n.(*ast.FuncLit); ok {
			most = max(most, nesting(literal.Body))
		}
		return true
	})
	return most
}

// nesting is how deep blocks of control flow are inside each other. A case is at the level of its switch, an else-if
// at the level of its if.
func nesting(n ast.Node) int {
	most := 0
	ast.Inspect(n, func(child ast.Node) bool {
		if child == n {
			return true
		}
		switch c := child.(type) {
		case *ast.FuncLit:
			return false
		case *ast.IfStmt:
			most = max(most, chain(c))
			return false
		case *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
			most = max(most, 1+nesting(c))
			return false
		}
		return true
	})
	return most
}

// chain is the nesting of an if with all its else-ifs.
func chain(c *ast.IfStmt) int {
	most := 1 + nesting(c.Body)
	switch e := c.Else.(type) {
	case *ast.IfStmt:
		most = max(most, chain(e))
	case *ast.BlockStmt:
		most = max(most, 1+nesting(e))
	}
	return most
}

func over(what string, n, limit int) string {
	return fmt.Sprintf("%d %s, of at most %d", n, what, limit)
}
