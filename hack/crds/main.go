// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Command crds finishes the CustomResourceDefinitions that controller-gen makes. Below embedded pod specs, whose
// schema is most of a definition, it strips the descriptions (kubectl explain pod has them) and bounds every list and
// name, without which the API server refuses CEL rules over templates as too costly. A rule of a template that has a
// fieldPath is moved to the schema of that field, where it is cheap. Then it checks what the API
// server would: each definition is valid, its rules are within their cost budget, and it is small enough for
// client-side apply. Files are written only when they change.
//
//	crds -in DIR -out DIR
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	in := flag.String("in", "", "directory of the definitions as controller-gen made them")
	out := flag.String("out", "config/crd/bases", "directory of the finished definitions")
	flag.Parse()
	if err := run(*in, *out, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "crds:", err)
		os.Exit(1)
	}
}

// run makes out hold the finished form of every definition in in, and nothing else.
func run(in, out string, log io.Writer) error {
	made, err := filepath.Glob(filepath.Join(in, "*.yaml"))
	if err != nil {
		return fmt.Errorf("listing %s: %w", in, err)
	}
	if len(made) == 0 {
		return fmt.Errorf("no definitions in %q", in)
	}
	var failed []error
	wanted := map[string]bool{}
	for _, p := range made {
		name := filepath.Base(p)
		wanted[name] = true
		if err := file(p, filepath.Join(out, name), log); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", name, err))
		}
	}
	if len(failed) > 0 {
		return errors.Join(failed...)
	}
	return prune(out, wanted, log)
}

func file(from, to string, log io.Writer) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	finished, size, err := finish(raw)
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(to); err == nil && bytes.Equal(old, finished) {
		return nil
	}
	if err := os.WriteFile(to, finished, 0o644); err != nil {
		return err
	}
	_, err = fmt.Fprintf(log, "%s: %d bytes of JSON, of at most %d\n", to, size, maxSize)
	return err
}

// finish returns the finished definition and its size as JSON.
func finish(raw []byte) ([]byte, int, error) {
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(raw, &crd); err != nil {
		return nil, 0, fmt.Errorf("reading the definition: %w", err)
	}
	for i := range crd.Spec.Versions {
		if s := crd.Spec.Versions[i].Schema; s != nil && s.OpenAPIV3Schema != nil {
			if err := trim(s.OpenAPIV3Schema); err != nil {
				return nil, 0, err
			}
		}
	}
	size, err := check(&crd)
	if err != nil {
		return nil, 0, err
	}
	body, err := marshal(&crd)
	return body, size, err
}

// prune removes the definitions of kinds that are gone.
func prune(out string, wanted map[string]bool, log io.Writer) error {
	there, err := filepath.Glob(filepath.Join(out, "*.yaml"))
	if err != nil {
		return fmt.Errorf("listing %s: %w", out, err)
	}
	for _, p := range there {
		if wanted[filepath.Base(p)] {
			continue
		}
		if err := os.Remove(p); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(log, "%s: removed\n", p); err != nil {
			return err
		}
	}
	return nil
}
