// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"sigs.k8s.io/yaml"
)

// maxSize is what client-side apply can carry: it stores the whole object as JSON in an annotation, and all
// annotations of an object together, names included, have 256 KiB.
const maxSize = 256<<10 - 1<<10

// check returns the size of the definition as JSON, or why the API server or a client-side apply would refuse it.
func check(crd *apiextensionsv1.CustomResourceDefinition) (int, error) {
	if err := validate(crd); err != nil {
		return 0, err
	}
	body, err := plain(crd)
	if err != nil {
		return 0, err
	}
	size, err := json.Marshal(body)
	if err != nil {
		return 0, fmt.Errorf("encoding the definition: %w", err)
	}
	if len(size) > maxSize {
		return 0, fmt.Errorf("%d bytes of JSON, of at most %d: embed fewer pod templates or shorten descriptions", len(size), maxSize)
	}
	return len(size), nil
}

// validate is the API server's own validation of definitions, the cost of CEL rules included.
func validate(crd *apiextensionsv1.CustomResourceDefinition) error {
	stored := crd.DeepCopy()
	apiextensionsv1.SetDefaults_CustomResourceDefinition(stored)
	apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&stored.Spec)
	for _, v := range stored.Spec.Versions {
		if v.Storage {
			stored.Status.StoredVersions = []string{v.Name}
		}
	}
	var internal apiextensions.CustomResourceDefinition
	if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(stored, &internal, nil); err != nil {
		return fmt.Errorf("converting the definition: %w", err)
	}
	if err := validation.ValidateCustomResourceDefinition(context.Background(), &internal).ToAggregate(); err != nil {
		return fmt.Errorf("the API server would refuse it: %w", err)
	}
	return nil
}

// plain is the definition as it is written: without a status, which is the API server's.
func plain(crd *apiextensionsv1.CustomResourceDefinition) (map[string]any, error) {
	raw, err := json.Marshal(crd)
	if err != nil {
		return nil, fmt.Errorf("encoding the definition: %w", err)
	}
	var body map[string]any
	if err := json.Unmarshal(raw, &body); err != nil {
		return nil, fmt.Errorf("decoding the definition: %w", err)
	}
	delete(body, "status")
	return body, nil
}

func marshal(crd *apiextensionsv1.CustomResourceDefinition) ([]byte, error) {
	body, err := plain(crd)
	if err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("writing the definition: %w", err)
	}
	return append([]byte("---\n"), text...), nil
}
