// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package arch is the architecture test: it reads every Go file of the repository and reports what breaks the
// dependency rules and the size budgets of CONTRIBUTING.md. It needs no network and no type checker, so that it
// runs on every `make test`; the linters refine it where types are needed.
//
// Imports and identifiers that a place may not use are rows of the tables in rules.go; budgets are in sizes.go.
package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Module is the path of the root module: imports below it are ours.
const Module = "github.com/millrace-ml/millrace"

// Violation is one broken rule at one place.
type Violation struct {
	Path    string
	Line    int
	Rule    string
	Message string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s:%d: %s: %s", v.Path, v.Line, v.Rule, v.Message)
}

// file is a parsed Go file; its path is relative to the root and slash-separated.
type file struct {
	path      string
	source    []byte
	fset      *token.FileSet
	ast       *ast.File
	generated bool
}

func (f *file) dir() string      { return path.Dir(f.path) }
func (f *file) isTest() bool     { return strings.HasSuffix(f.path, "_test.go") }
func (f *file) lines() int       { return bytes.Count(f.source, []byte("\n")) }
func (f *file) in(d string) bool { return f.path == d || strings.HasPrefix(f.path, d+"/") }

func (f *file) at(p token.Pos, rule, format string, args ...any) Violation {
	return Violation{f.path, f.fset.Position(p).Line, rule, fmt.Sprintf(format, args...)}
}

// checks are the rules, each over one file.
var checks = []func(*file) []Violation{header, packageName, sizes, imports, names, goroutines, suppressions}

// Check returns every violation below root, in order of path and line.
func Check(root string) ([]Violation, error) {
	files, err := load(root)
	if err != nil {
		return nil, err
	}
	var found []Violation
	for _, f := range files {
		for _, check := range checks {
			found = append(found, check(f)...)
		}
	}
	slices.SortStableFunc(found, func(a, b Violation) int {
		if c := strings.Compare(a.Path, b.Path); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
	return found, nil
}

func load(root string) ([]*file, error) {
	var files []*file
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p != root && skipped(d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		f, err := parse(root, p)
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// skipped says which directories the go tool does not look at either, and bin.
func skipped(name string) bool {
	return name == "testdata" || name == "vendor" || name == "bin" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

func parse(root, p string) (*file, error) {
	source, err := os.ReadFile(p)
	if err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(root, p)
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, p, source, parser.ParseComments)
	if err != nil {
		return nil, fmt.Errorf("parsing %s: %w", rel, err)
	}
	return &file{filepath.ToSlash(rel), source, fset, tree, ast.IsGenerated(tree)}, nil
}
