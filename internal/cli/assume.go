// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/gang"
)

// assumable are the optional parts of a cluster, by the kinds that show that they are there.
func assumable() map[string][]schema.GroupVersionKind {
	parts := map[string][]schema.GroupVersionKind{}
	for _, row := range gang.Rows() {
		if row.Grouped() {
			parts[strings.ToLower(string(row.Name))] = []schema.GroupVersionKind{row.Kind}
		}
	}
	return parts
}

// assumed is a cluster on paper: it serves these optional kinds, and nothing exists in it.
type assumed []schema.GroupVersionKind

var _ engine.Offers = assumed{}

// assume is the cluster with these optional parts.
func assume(parts []string) (assumed, error) {
	known, cluster := assumable(), assumed{}
	for _, part := range parts {
		kinds, found := known[part]
		if !found {
			return nil, usagef("--assume %s: not a part that Millrace knows: use %s", part, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		cluster = append(cluster, kinds...)
	}
	return cluster, nil
}

// Serves is true of what is assumed.
func (a assumed) Serves(kind schema.GroupVersionKind) bool { return slices.Contains(a, kind) }

// Get finds nothing.
func (assumed) Get(_ context.Context, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

// List finds nothing.
func (assumed) List(context.Context, client.ObjectList, ...client.ListOption) error { return nil }
