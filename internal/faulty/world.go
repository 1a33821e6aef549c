// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package faulty

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

var errKilled = errors.New("the manager is dead")

// world is the API server, all it has ever held, and what has happened to the manager.
type world struct {
	scenario Scenario
	fault    fault
	store    client.WithWatch

	mu      sync.Mutex
	uids    int
	history [][]client.Object
	// seen is how much of the history the manager's cache shows.
	seen    int
	writes  []string
	created map[string]int
	killed  bool
	failed  bool
	// lives counts managers: the writes of a dead one do nothing.
	lives int
}

func newWorld(ctx context.Context, s Scenario, f fault) *world {
	w := &world{scenario: s, fault: f, created: map[string]int{}}
	var objects []client.Object
	for _, o := range s.Objects {
		o = o.DeepCopyObject().(client.Object)
		if o.GetUID() == "" {
			o.SetUID(types.UID(nextUID(&w.uids)))
		}
		objects = append(objects, o)
	}
	builder := fake.NewClientBuilder().WithScheme(s.Scheme).WithObjects(objects...).WithStatusSubresource(objects...)
	for _, list := range s.Kinds {
		builder = builder.WithStatusSubresource(itemOf(list))
	}
	w.store = interceptor.NewClient(builder.Build(), interceptor.Funcs{Create: w.create, Apply: w.apply, Delete: w.delete})
	w.record(ctx)
	w.seen = len(w.history)
	return w
}

// itemOf is an empty object of the kind of a list.
func itemOf(list client.ObjectList) client.Object {
	items := reflect.ValueOf(list).Elem().FieldByName("Items")
	return reflect.New(items.Type().Elem()).Interface().(client.Object)
}

// create, apply and delete do what the fake leaves out: identities, and preconditions on them.
func (w *world) create(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
	o.SetUID(types.UID(nextUID(&w.uids)))
	return c.Create(ctx, o, opts...)
}

// apply creates what is absent and merges into what is there. Unlike the API server it removes no field that leaves an
// intent: intents do not change in the middle of a fault.
func (w *world) apply(ctx context.Context, c client.WithWatch, config runtime.ApplyConfiguration, _ ...client.ApplyOption) error {
	target, err := w.target(config)
	if err != nil {
		return err
	}
	live := target.DeepCopyObject().(client.Object)
	err = c.Get(ctx, client.ObjectKeyFromObject(target), live)
	switch {
	case apierrors.IsNotFound(err):
		err = w.applyNew(ctx, c, config, live)
	case err == nil:
		err = w.applyTo(ctx, c, config, target, live)
	}
	if err != nil {
		return err
	}
	return recode(live, config)
}

func (w *world) applyNew(ctx context.Context, c client.WithWatch, config runtime.ApplyConfiguration, into client.Object) error {
	if err := recode(config, into); err != nil {
		return err
	}
	into.SetResourceVersion("")
	return w.create(ctx, c, into)
}

func (w *world) applyTo(ctx context.Context, c client.WithWatch, config runtime.ApplyConfiguration, target, live client.Object) error {
	otherUID := target.GetUID() != "" && target.GetUID() != live.GetUID()
	otherVersion := target.GetResourceVersion() != "" && target.GetResourceVersion() != live.GetResourceVersion()
	if otherUID || otherVersion {
		return apierrors.NewConflict(schema.GroupResource{}, target.GetName(), errors.New("another object or version"))
	}
	data, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("writing apply configuration: %w", err)
	}
	return c.Patch(ctx, live, client.RawPatch(types.MergePatchType, data))
}

func recode(from, to any) error {
	data, err := json.Marshal(from)
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("decoding: %w", err)
	}
	return nil
}

// target is an object with the identity that an apply configuration names.
func (w *world) target(config runtime.ApplyConfiguration) (client.Object, error) {
	identity := &metav1.PartialObjectMetadata{}
	if err := recode(config, identity); err != nil {
		return nil, err
	}
	object, err := w.scenario.Scheme.New(identity.GroupVersionKind())
	if err != nil {
		return nil, fmt.Errorf("reading apply configuration: %w", err)
	}
	target := object.(client.Object)
	target.SetNamespace(identity.Namespace)
	target.SetName(identity.Name)
	target.SetUID(identity.UID)
	target.SetResourceVersion(identity.ResourceVersion)
	return target, nil
}

func (w *world) delete(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
	options := (&client.DeleteOptions{}).ApplyOptions(opts)
	live := o.DeepCopyObject().(client.Object)
	if err := c.Get(ctx, client.ObjectKeyFromObject(o), live); err != nil {
		return err
	}
	if p := options.Preconditions; p != nil && p.UID != nil && *p.UID != live.GetUID() {
		return apierrors.NewConflict(schema.GroupResource{}, o.GetName(), errors.New("another UID"))
	}
	return c.Delete(ctx, o)
}

// record adds the present state to the history.
func (w *world) record(ctx context.Context) {
	var all []client.Object
	for _, kind := range w.scenario.Kinds {
		list := kind.DeepCopyObject().(client.ObjectList)
		if err := w.store.List(ctx, list); err != nil {
			panic(fmt.Sprintf("listing a fake: %v", err))
		}
		if err := meta.EachListItem(list, func(o runtime.Object) error {
			all = append(all, o.DeepCopyObject().(client.Object))
			return nil
		}); err != nil {
			panic(fmt.Sprintf("reading a list: %v", err))
		}
	}
	w.history = append(w.history, all)
}

// manager is the client of the manager that runs now.
func (w *world) manager() client.Client {
	return &manager{Client: w.store, world: w, life: w.lives}
}

// restart is the client of a new manager, whose cache lags behind.
func (w *world) restart(ctx context.Context) client.Client {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lives++
	w.killed = false
	w.record(ctx)
	w.seen = max(1, len(w.history)-w.fault.lag)
	return w.manager()
}

// catchUp lets the cache see a little more, all of it when no manager was killed, and tells whether it is fresh.
func (w *world) catchUp() bool {
	if w.lives == 0 {
		w.seen = len(w.history)
		return true
	}
	fresh := w.seen == len(w.history)
	w.seen = min(w.seen+2, len(w.history))
	return fresh
}

// live reads from the API server itself.
func (w *world) live() client.Reader { return w.store }

// write does one write of a manager, or what becomes of it.
func (w *world) write(ctx context.Context, life int, what string, create bool, do func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if life != w.lives || w.killed {
		return errKilled
	}
	w.writes = append(w.writes, what)
	hit := len(w.writes) == w.fault.write
	if hit && !w.fault.after {
		return w.strike()
	}
	err := do()
	if err == nil {
		w.record(ctx)
	}
	if err == nil && create {
		w.created[what]++
	}
	if hit {
		return w.strike()
	}
	return err
}

func (w *world) strike() error {
	if w.fault.kill {
		w.killed = true
		return errKilled
	}
	w.failed = true
	return apierrors.NewInternalError(errors.New("injected"))
}
