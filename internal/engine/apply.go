// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"reflect"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/util/csaupgrade"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// applier keeps objects equal to what plans say and remembers what it has made true, so that an unchanged intent on an
// unchanged object costs no request.
type applier struct {
	deps      Deps
	unwatched map[reflect.Type]bool
	mu        sync.Mutex
	seen      map[types.UID]map[childKey]seen
}

type childKey struct {
	kind schema.GroupVersionKind
	name types.NamespacedName
}

// seen is an intent that was made true of a version of an object.
type seen struct {
	intent  digest
	version version
}

type digest [sha256.Size]byte

// version identifies what may have drifted: the spec by its generation where the kind has one, by its content where it
// has none, and labels, annotations and owners. A resourceVersion would change with every status write of the
// child, and each would cost a patch that does nothing.
type version struct {
	uid        types.UID
	generation int64
	content    digest
}

func newApplier(deps Deps, unwatched []client.Object) *applier {
	a := &applier{deps: deps, unwatched: map[reflect.Type]bool{}, seen: map[types.UID]map[childKey]seen{}}
	for _, o := range unwatched {
		a.unwatched[reflect.TypeOf(o)] = true
	}
	return a
}

func (a *applier) forget(owner types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.seen, owner)
}

func (a *applier) recall(owner types.UID, key childKey) (seen, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.seen[owner][key]
	return s, ok
}

func (a *applier) remember(owner types.UID, key childKey, s seen) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen[owner] == nil {
		a.seen[owner] = map[childKey]seen{}
	}
	a.seen[owner][key] = s
}

// apply makes the intent true. The first write of an object is a Create, so that an object of the same name that a
// cache does not show is found and never taken over: a forced apply would add our owner reference to a user's object,
// and garbage collection would delete it with the job.
func (a *applier) apply(ctx context.Context, owner types.UID, want Object) error {
	key := childKey{want.GetObjectKind().GroupVersionKind(), client.ObjectKeyFromObject(want.(client.Object))}
	intent := digestOf(want)
	if a.isUnwatched(want) {
		return a.applyUnwatched(ctx, owner, key, want, intent)
	}
	live := want.DeepCopyObject().(client.Object)
	err := a.deps.Client.Get(ctx, key.name, live)
	if apierrors.IsNotFound(err) {
		return a.create(ctx, owner, key, want, intent)
	}
	if err != nil {
		return err
	}
	if err := ownership(live, owner); err != nil {
		return err
	}
	if s, ok := a.recall(owner, key); ok && s.intent == intent && s.version == versionOf(live) {
		return nil
	}
	return a.patch(ctx, owner, key, want, live)
}

func (a *applier) create(ctx context.Context, owner types.UID, key childKey, want Object, intent digest) error {
	made := want.DeepCopyObject().(client.Object)
	err := a.deps.Client.Create(ctx, made, a.createOptions(want)...)
	if apierrors.IsAlreadyExists(err) {
		live, err := a.claimed(ctx, owner, want)
		if err != nil {
			return err
		}
		return a.patch(ctx, owner, key, want, live)
	}
	if err != nil {
		return err
	}
	a.remember(owner, key, seen{intent, versionOf(made)})
	return nil
}

// applyUnwatched makes an object of a kind that is not watched, once for each intent and process: it cannot see drift.
func (a *applier) applyUnwatched(ctx context.Context, owner types.UID, key childKey, want Object, intent digest) error {
	if s, ok := a.recall(owner, key); ok && s.intent == intent {
		return nil
	}
	return a.create(ctx, owner, key, want, intent)
}

func (a *applier) patch(ctx context.Context, owner types.UID, key childKey, want Object, live client.Object) error {
	if err := a.upgrade(ctx, live); err != nil {
		return err
	}
	config, err := applyConfiguration(want)
	if err != nil {
		return err
	}
	opts := []client.ApplyOption{client.FieldOwner(FieldManager), client.ForceOwnership}
	if a.isUnwatched(want) {
		opts = append(opts, client.DisableReadYourWritesConsistency)
	}
	if err := a.deps.Client.Apply(ctx, config, opts...); err != nil {
		return err
	}
	got := want.DeepCopyObject().(client.Object)
	if err := fill(config, got); err != nil {
		return err
	}
	a.remember(owner, key, seen{digestOf(want), versionOf(got)})
	return nil
}

// upgrade hands the fields that our Create owns to our Apply. Without it a field that leaves the intent would stay: the
// Create would still own it.
func (a *applier) upgrade(ctx context.Context, live client.Object) error {
	patch, err := csaupgrade.UpgradeManagedFieldsPatch(live, sets.New(FieldManager), FieldManager)
	if err != nil || len(patch) == 0 {
		return err
	}
	return a.deps.Client.Patch(ctx, live, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(FieldManager))
}

// whose looks at the object in the way of a Create: nil when it is ours, errWait when it is ours and going, errTaken
// when it is somebody else's.
func (a *applier) whose(ctx context.Context, owner types.UID, want Object) error {
	_, err := a.claimed(ctx, owner, want)
	return err
}

func (a *applier) claimed(ctx context.Context, owner types.UID, want Object) (client.Object, error) {
	live := want.DeepCopyObject().(client.Object)
	err := a.deps.Live.Get(ctx, client.ObjectKeyFromObject(live), live)
	if apierrors.IsNotFound(err) {
		return nil, errWait
	}
	if err != nil {
		return nil, err
	}
	return live, ownership(live, owner)
}

func ownership(live client.Object, owner types.UID) error {
	if !Owned(live, owner) {
		return fmt.Errorf("%w: %s belongs to %s", errTaken, describe(live), holder(live))
	}
	if !live.GetDeletionTimestamp().IsZero() {
		return errWait
	}
	return nil
}

// holder names who an object belongs to, for people.
func holder(o metav1.Object) string {
	if ref := metav1.GetControllerOfNoCopy(o); ref != nil {
		return ref.Kind + " " + ref.Name
	}
	return "nobody in Millrace"
}

func (a *applier) isUnwatched(o Object) bool { return a.unwatched[reflect.TypeOf(o)] }

func (a *applier) createOptions(o Object) []client.CreateOption {
	opts := []client.CreateOption{client.FieldOwner(FieldManager)}
	if a.isUnwatched(o) {
		opts = append(opts, client.DisableReadYourWritesConsistency)
	}
	return opts
}

// applyConfiguration turns a typed object into an apply configuration of exactly the fields it sets. Nulls and status go;
// empty maps stay, because an emptyDir without its braces is a volume without a source.
func applyConfiguration(o Object) (runtime.ApplyConfiguration, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, fmt.Errorf("converting %s: %w", describe(o), err)
	}
	delete(fields, "status")
	dropNulls(fields)
	config, ok := applyconfigurations.ForKind(o.GetObjectKind().GroupVersionKind()).(runtime.ApplyConfiguration)
	if !ok {
		return client.ApplyConfigurationFromUnstructured(&unstructured.Unstructured{Object: fields}), nil
	}
	return config, recode(fields, config)
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

// fill reads the server's answer, which an apply configuration carries, into a typed object.
func fill(config runtime.ApplyConfiguration, into client.Object) error {
	return recode(config, into)
}

func digestOf(v any) digest {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("an API object that is not JSON: %v", err))
	}
	return sha256.Sum256(data)
}

func versionOf(o client.Object) version {
	v := version{uid: o.GetUID(), generation: o.GetGeneration()}
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
	for _, key := range []string{"status", "metadata", "kind", "apiVersion"} {
		delete(fields, key)
	}
	return fields
}
