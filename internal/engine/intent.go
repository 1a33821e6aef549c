// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/applyconfigurations"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

type digest [sha256.Size]byte

// version identifies what may have drifted: the spec by its generation where the kind has one, by its content where it
// has none or where every status write of another project may count as one, and labels, annotations and owners. A resourceVersion would change with every status write of the
// child, and each would cost a patch that does nothing.
type version struct {
	uid        types.UID
	generation int64
	content    digest
}

func versionOf(o client.Object) version {
	v := version{uid: o.GetUID(), generation: o.GetGeneration()}
	if _, loose := o.(runtime.Unstructured); loose {
		v.generation = 0 // a kind without the status subresource gets a new one with each status
	}
	meta := map[string]any{"labels": o.GetLabels(), "annotations": o.GetAnnotations(), "owners": o.GetOwnerReferences()}
	if v.generation == 0 {
		meta["content"] = contentOf(o)
	}
	v.content = digestOf(meta)
	return v
}

// contentOf is an object without what changes by itself.
func contentOf(o client.Object) map[string]any {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		panic(fmt.Sprintf("an API object that does not convert: %v", err))
	}
	content := map[string]any{}
	for key, value := range fields {
		switch key {
		case "status", "metadata", "kind", "apiVersion":
		default:
			content[key] = value
		}
	}
	return content
}

func digestOf(v any) digest {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("an API object that is not JSON: %v", err))
	}
	return sha256.Sum256(data)
}

// applyConfiguration turns an object into an apply configuration of exactly the fields it sets, with a precondition in
// its metadata. Nulls and status go; empty maps stay, because an emptyDir without its braces is a volume without a source.
func applyConfiguration(o Object, precondition func(meta map[string]any)) (runtime.ApplyConfiguration, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o.DeepCopyObject())
	if err != nil {
		return nil, fmt.Errorf("converting %s: %w", describe(o), err)
	}
	delete(fields, "status")
	dropNulls(fields)
	if meta, ok := fields["metadata"].(map[string]any); ok {
		precondition(meta)
	}
	config, ok := applyconfigurations.ForKind(o.GetObjectKind().GroupVersionKind()).(runtime.ApplyConfiguration)
	if _, loose := o.(runtime.Unstructured); loose || !ok {
		return client.ApplyConfigurationFromUnstructured(&unstructured.Unstructured{Object: fields}), nil
	}
	return config, recode(fields, config)
}

func hasTypedConfiguration(config runtime.ApplyConfiguration) bool {
	_, loose := config.(runtime.Unstructured)
	return !loose
}

func recode(from, to any) error {
	data, err := json.Marshal(from)
	if err != nil {
		return fmt.Errorf("encoding apply configuration: %w", err)
	}
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("decoding apply configuration: %w", err)
	}
	return nil
}

func dropNulls(v any) {
	switch node := v.(type) {
	case map[string]any:
		for k, child := range node {
			if child == nil {
				delete(node, k)
				continue
			}
			dropNulls(child)
		}
	case []any:
		for _, child := range node {
			dropNulls(child)
		}
	}
}
