// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
	"context"
	"fmt"
	"strings"
	"sync"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/cel"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/internal/accelerator"
)

// recall remembers what objects come to, by their UID and version: a pass over ten thousand claims reads those that have changed since
// the last. Nothing is decided by it that the objects themselves do not say.
type recall[V any] struct {
	mu    sync.Mutex
	known map[types.UID]recalled[V]
}

type recalled[V any] struct {
	version string
	value   V
}

// all returns what each of the objects comes to, reads those that are new or have changed, and forgets those that are gone.
func (r *recall[V]) all(objects []unstructured.Unstructured, read func(map[string]any) (V, error)) ([]V, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := make([]V, len(objects))
	now := make(map[types.UID]recalled[V], len(objects))
	for i := range objects {
		uid, version := identity(objects[i].Object)
		one, known := r.known[uid]
		if !known || one.version != version || version == "" {
			value, err := read(objects[i].Object)
			if err != nil {
				return nil, fmt.Errorf("reading %s %s: %w", objects[i].GetKind(), objects[i].GetName(), err)
			}
			one = recalled[V]{version, value}
		}
		found[i], now[uid] = one.value, one
	}
	r.known = now
	return found, nil
}

// identity is the UID and the version of an object, in as few steps as it takes: it is asked of each in each pass.
func identity(fields map[string]any) (types.UID, string) {
	meta, _ := fields["metadata"].(map[string]any)
	uid, _ := meta["uid"].(string)
	version, _ := meta["resourceVersion"].(string)
	return types.UID(uid), version
}

// memory is what is remembered: of claims for all Accelerators, of slices for each by its name, as each chooses devices by selectors
// of its own.
type memory struct {
	claims  recall[accelerator.Holding]
	mu      sync.Mutex
	choices map[string]*choice
}

// choice is what an Accelerator has chosen by selectors.
type choice struct {
	selectors string
	recall[part]
}

// choice returns what is remembered of the choices of an Accelerator, nothing where it chooses by other selectors now.
func (m *memory) choice(name string, selectors []string) *choice {
	m.mu.Lock()
	defer m.mu.Unlock()
	text := strings.Join(selectors, "\x00")
	c := m.choices[name]
	if c == nil || c.selectors != text {
		c = &choice{selectors: text}
		m.choices[name] = c
	}
	return c
}

// of are the parts of pools that are chosen of all slices.
func (c *choice) of(ctx context.Context, from client.Reader, selectors []cel.CompilationResult) ([]part, error) {
	all, err := list(ctx, from, parts)
	if err != nil {
		return nil, err
	}
	return c.all(all, func(fields map[string]any) (part, error) {
		var slice resourcev1.ResourceSlice
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &slice); err != nil {
			return part{}, err
		}
		return choose(ctx, &slice, selectors), nil
	})
}

// forget drops what is remembered of an Accelerator that is gone.
func (m *memory) forget(name types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.choices, name.Name)
}

// holding reads a claim.
func holding(fields map[string]any) (accelerator.Holding, error) {
	var claim resourcev1.ResourceClaim
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &claim); err != nil {
		return accelerator.Holding{}, err
	}
	return accelerator.HoldingOf(&claim), nil
}
