// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package offline

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// Schemas are the kinds a set of CustomResourceDefinitions defines.
type Schemas struct {
	kinds map[schema.GroupVersionKind]*definition
}

// definition is what an API server knows of one version of a kind.
type definition struct {
	namespaced bool
	hasStatus  bool
	structural *structuralschema.Structural
	values     validation.SchemaValidator
	rules      *cel.Validator
	scale      *apiextensionsv1.CustomResourceSubresourceScale
}

// Load reads every CustomResourceDefinition of a file tree.
func Load(files fs.FS) (Schemas, error) {
	s := Schemas{kinds: map[schema.GroupVersionKind]*definition{}}
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".yaml") {
			return err
		}
		text, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		if err := s.add(text); err != nil {
			return fmt.Errorf("reading the definition %s: %w", path, err)
		}
		return nil
	})
	return s, err
}

func (s Schemas) add(text []byte) error {
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(text, &crd); err != nil {
		return err
	}
	for _, version := range crd.Spec.Versions {
		if !version.Served {
			continue
		}
		kind := schema.GroupVersionKind{Group: crd.Spec.Group, Version: version.Name, Kind: crd.Spec.Names.Kind}
		d, err := define(version)
		if err != nil {
			return fmt.Errorf("version %s: %w", version.Name, err)
		}
		d.namespaced = crd.Spec.Scope == apiextensionsv1.NamespaceScoped
		s.kinds[kind] = d
	}
	return nil
}

// define prepares a version as the API server does when it starts to serve it.
func define(version apiextensionsv1.CustomResourceDefinitionVersion) (*definition, error) {
	var internal apiextensions.CustomResourceValidation
	if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(version.Schema, &internal, nil); err != nil {
		return nil, err
	}
	structural, err := structuralschema.NewStructural(internal.OpenAPIV3Schema)
	if err != nil {
		return nil, err
	}
	structural = structural.DeepCopy() // NewStructural shares the defaults, and PruneDefaults writes to them
	if err := defaulting.PruneDefaults(structural); err != nil {
		return nil, err
	}
	values, _, err := validation.NewSchemaValidator(internal.OpenAPIV3Schema)
	if err != nil {
		return nil, err
	}
	d := &definition{structural: structural, values: values, rules: cel.NewValidator(structural, true, celconfig.PerCallLimit)}
	if version.Subresources != nil {
		d.hasStatus = version.Subresources.Status != nil
		d.scale = version.Subresources.Scale
	}
	return d, nil
}

// Has is true when the kind is defined.
func (s Schemas) Has(kind schema.GroupVersionKind) bool { return s.kinds[kind] != nil }

// Unknown is true of a kind that belongs to a group of these schemas and is not defined, and says what is wrong.
func (s Schemas) Unknown(kind schema.GroupVersionKind) (string, bool) {
	if s.Has(kind) {
		return "", false
	}
	known := map[schema.GroupVersion][]string{}
	for defined := range s.kinds {
		if version := defined.GroupVersion(); version.Group == kind.Group {
			known[version] = append(known[version], defined.Kind)
		}
	}
	var there []string
	for version, kinds := range known {
		slices.Sort(kinds)
		there = append(there, fmt.Sprintf("%s in %s", strings.Join(kinds, ", "), version))
	}
	slices.Sort(there)
	return fmt.Sprintf("no matches for kind %q in version %q; there is %s", kind.Kind, kind.GroupVersion(), strings.Join(there, "; ")), len(there) > 0
}

// Kinds lists what is defined.
func (s Schemas) Kinds() []schema.GroupVersionKind {
	return slices.SortedFunc(maps.Keys(s.kinds), func(a, b schema.GroupVersionKind) int {
		return strings.Compare(a.String(), b.String())
	})
}
