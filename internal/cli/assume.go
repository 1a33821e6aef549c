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

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/gang"
	"github.com/millrace-ml/millrace/internal/kueue"
	"github.com/millrace-ml/millrace/internal/profile"
	"github.com/millrace-ml/millrace/internal/route"
)

// assumable are the optional parts of a cluster, by the kinds that show that they are there.
func assumable() map[string][]schema.GroupVersionKind {
	parts := map[string][]schema.GroupVersionKind{
		"kueue": {kueue.WorkloadKind, kueue.FlavorKind, kueue.PriorityKind}, "istio": {profile.AuthorizationPolicy, route.Kinds()[0]},
	}
	for _, row := range gang.Rows() {
		if row.Grouped() {
			parts[strings.ToLower(string(row.Name))] = []schema.GroupVersionKind{row.Kind}
		}
	}
	return parts
}

// paper is a cluster on paper: it serves these optional kinds, and nothing exists in it but what the manifests hold beside the
// objects to plan.
type paper struct {
	served       []schema.GroupVersionKind
	accelerators []v1alpha1.Accelerator
	podDefaults  []v1alpha1.PodDefault
}

var _ engine.Offers = &paper{}

// assume is the cluster with these optional parts.
func assume(parts []string) (*paper, error) {
	known, cluster := assumable(), &paper{}
	for _, part := range parts {
		kinds, found := known[part]
		if !found {
			return nil, usagef("--assume %s: not a part that Millrace knows: use %s", part, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		cluster.served = append(cluster.served, kinds...)
	}
	return cluster, nil
}

// Serves is true of what is assumed.
func (p *paper) Serves(kind schema.GroupVersionKind) bool { return slices.Contains(p.served, kind) }

// Get finds nothing: what is on paper is listed.
func (*paper) Get(_ context.Context, key client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

// List finds the Accelerators and PodDefaults of the manifests, and nothing else.
func (p *paper) List(_ context.Context, list client.ObjectList, opts ...client.ListOption) error {
	var asked client.ListOptions
	asked.ApplyOptions(opts)
	switch all := list.(type) {
	case *v1alpha1.AcceleratorList:
		all.Items = p.accelerators
	case *v1alpha1.PodDefaultList:
		all.Items = slices.DeleteFunc(slices.Clone(p.podDefaults), func(d v1alpha1.PodDefault) bool { return d.Namespace != asked.Namespace })
	}
	return nil
}
