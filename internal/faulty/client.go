// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package faulty

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// manager is the client of one manager: it reads a cache that may be behind, and its writes may go wrong.
type manager struct {
	client.Client
	world *world
	life  int
}

// cached is what the cache shows.
func (m *manager) cached() []client.Object {
	m.world.mu.Lock()
	defer m.world.mu.Unlock()
	return m.world.history[m.world.seen-1]
}

// Get reads from the cache.
func (m *manager) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	for _, o := range m.cached() {
		if reflect.TypeOf(o) == reflect.TypeOf(into) && client.ObjectKeyFromObject(o) == key {
			reflect.ValueOf(into).Elem().Set(reflect.ValueOf(o.DeepCopyObject()).Elem())
			return nil
		}
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: fmt.Sprintf("%T", into)}, key.Name)
}

// List reads from the cache.
func (m *manager) List(_ context.Context, list client.ObjectList, opts ...client.ListOption) error {
	options := (&client.ListOptions{}).ApplyOptions(opts)
	kind := reflect.TypeOf(itemOf(list))
	var items []runtime.Object
	for _, o := range m.cached() {
		if reflect.TypeOf(o) == kind && m.selected(o, options) {
			items = append(items, o.DeepCopyObject())
		}
	}
	return meta.SetList(list, items)
}

func (m *manager) selected(o client.Object, options *client.ListOptions) bool {
	if options.Namespace != "" && options.Namespace != o.GetNamespace() {
		return false
	}
	if options.LabelSelector != nil && !options.LabelSelector.Matches(labels.Set(o.GetLabels())) {
		return false
	}
	if options.FieldSelector == nil {
		return true
	}
	for _, r := range options.FieldSelector.Requirements() {
		if !m.indexed(o, r) {
			return false
		}
	}
	return true
}

func (m *manager) indexed(o client.Object, r fields.Requirement) bool {
	index, ok := m.world.scenario.Indexes[r.Field]
	if !ok {
		panic("the scenario has no index " + r.Field)
	}
	return slices.Contains(index(o), r.Value)
}

func named(verb string, o client.Object) string { return fmt.Sprintf("%s %T %s", verb, o, o.GetName()) }

// Create implements client.Client.
func (m *manager) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	return m.world.write(ctx, m.life, named("create", o), true, func() error { return m.Client.Create(ctx, o, opts...) })
}

// Delete implements client.Client.
func (m *manager) Delete(ctx context.Context, o client.Object, opts ...client.DeleteOption) error {
	return m.world.write(ctx, m.life, named("delete", o), false, func() error { return m.Client.Delete(ctx, o, opts...) })
}

// Patch implements client.Client.
func (m *manager) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.PatchOption) error {
	return m.world.write(ctx, m.life, named("patch", o), false, func() error { return m.Client.Patch(ctx, o, p, opts...) })
}

// Apply implements client.Client.
func (m *manager) Apply(ctx context.Context, config runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
	target, err := m.world.target(config)
	if err != nil {
		return err
	}
	return m.world.write(ctx, m.life, named("apply", target), false, func() error { return m.Client.Apply(ctx, config, opts...) })
}

// Status implements client.Client.
func (m *manager) Status() client.SubResourceWriter {
	return &statusWriter{SubResourceWriter: m.Client.Status(), manager: m}
}

type statusWriter struct {
	client.SubResourceWriter
	manager *manager
}

// Patch implements client.SubResourceWriter.
func (s *statusWriter) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
	return s.manager.world.write(ctx, s.manager.life, named("status", o), false, func() error {
		return s.SubResourceWriter.Patch(ctx, o, p, opts...)
	})
}
