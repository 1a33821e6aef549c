// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// noVersion is a resourceVersion that no object has. An apply that carries it creates an object that is absent, as the
// API server drops the version then, and conflicts with one that is there. It is a Create whose fields belong
// to Apply from the start, so that a field that leaves the intent later really goes, without managed fields in any cache.
const noVersion = "9223372036854775807"

// applier keeps objects equal to what plans say. What it has made true is remembered, so that an unchanged intent on an
// unchanged object costs no request.
type applier struct {
	deps      Deps
	unwatched map[reflect.Type]bool
	// adopts is true of an object that nobody controls and the owner may take over.
	adopts func(Owner, Object) bool
}

type childKey struct {
	kind schema.GroupVersionKind
	name types.NamespacedName
}

func keyOf(o Object) childKey {
	return childKey{o.GetObjectKind().GroupVersionKind(), client.ObjectKeyFromObject(o.(client.Object))}
}

// seen is an intent that was made true of a version of an object.
type seen struct {
	intent  digest
	version version
	// stored is the resourceVersion the intent was stored at. A cache may show less of an object than the API server
	// answered; its version of that very object is learnt when it shows up.
	stored string
}

func newApplier(deps Deps, unwatched []client.Object, adopts func(Owner, Object) bool) *applier {
	a := &applier{deps: deps, unwatched: map[reflect.Type]bool{}, adopts: adopts}
	for _, o := range unwatched {
		a.unwatched[reflect.TypeOf(o)] = true
	}
	return a
}

// adopts is the question of a kind asked of any owner; without one nothing is adopted.
func adopts[T Owner](ask func(T, Object) bool) func(Owner, Object) bool {
	return func(owner Owner, live Object) bool {
		of, ok := owner.(T)
		return ok && ask != nil && ask(of, live)
	}
}

// apply makes the intent true and tells whether that took a write. An object that a cache does not show is created and
// never taken over: a forced apply would add our owner reference to a user's object of that name, and garbage collection would
// delete it with the job.
func (a *applier) apply(ctx context.Context, owner Owner, m *memory, want Object) (wrote bool, err error) {
	intent := digestOf(want)
	if a.isUnwatched(want) {
		// It cannot be seen, so it is written once for each intent and process.
		if s, ok := m.recall(keyOf(want)); ok && s.intent == intent {
			return false, nil
		}
		return true, a.create(ctx, owner, m, want)
	}
	live := empty(want)
	err = a.reader(want).Get(ctx, keyOf(want).name, live, a.readOptions(want)...)
	if apierrors.IsNotFound(err) {
		return true, a.create(ctx, owner, m, want)
	}
	if err != nil {
		return false, err
	}
	if err := a.ownership(live, owner); err != nil {
		return false, err
	}
	if isTrue(m, want, intent, live) {
		return false, nil
	}
	return true, a.write(ctx, m, want, func(meta map[string]any) { meta["uid"] = string(live.GetUID()) })
}

// isTrue is true when the object is as it was when this intent was stored.
func isTrue(m *memory, want Object, intent digest, live client.Object) bool {
	s, ok := m.recall(keyOf(want))
	if !ok || s.intent != intent {
		return false
	}
	now := versionOf(live)
	if s.version != now && s.stored != live.GetResourceVersion() {
		return false
	}
	s.version = now
	m.remember(keyOf(want), s)
	return true
}

// create makes an object that is not there, and falls back to an apply when it is there and ours.
func (a *applier) create(ctx context.Context, owner Owner, m *memory, want Object) error {
	err := a.write(ctx, m, want, func(meta map[string]any) { meta["resourceVersion"] = noVersion })
	if !apierrors.IsConflict(err) {
		return err
	}
	live, err := a.claimed(ctx, owner, want)
	if err != nil {
		return err
	}
	return a.write(ctx, m, want, func(meta map[string]any) { meta["uid"] = string(live.GetUID()) })
}

// write applies the intent under a precondition in its metadata: it holds of the object we looked at, or of none.
func (a *applier) write(ctx context.Context, m *memory, want Object, precondition func(map[string]any)) error {
	config, err := applyConfiguration(want, precondition)
	if err != nil {
		return err
	}
	if err := a.deps.Client.Apply(ctx, config, a.applyOptions(want, config)...); err != nil {
		return replaced(err)
	}
	got := empty(want)
	if err := recode(config, got); err != nil {
		return err
	}
	m.remember(keyOf(want), seen{digestOf(want), versionOf(got), got.GetResourceVersion()})
	return nil
}

// replaced turns the API server's way of saying that the object has another UID than the one we saw into a conflict.
func replaced(err error) error {
	if cause, ok := apierrors.StatusCause(err, metav1.CauseTypeFieldValueInvalid); ok && cause.Field == "metadata.uid" {
		return apierrors.NewConflict(schema.GroupResource{}, "", errors.New("the object was replaced by another of the same name"))
	}
	return err
}

// whose looks at the object in the way of a Create: nil when it is ours, errWait when it is ours and going, errTaken
// when it is somebody else's.
func (a *applier) whose(ctx context.Context, owner Owner, want Object) error {
	_, err := a.claimed(ctx, owner, want)
	return err
}

func (a *applier) claimed(ctx context.Context, owner Owner, want Object) (client.Object, error) {
	// The object read into must be empty: decoding into the intent would leave our owner reference in somebody else's object.
	live := empty(want)
	err := a.deps.Live.Get(ctx, client.ObjectKeyFromObject(want.(client.Object)), live)
	if apierrors.IsNotFound(err) {
		return nil, errWait
	}
	if err != nil {
		return nil, err
	}
	return live, a.ownership(live, owner)
}

func (a *applier) ownership(live client.Object, owner Owner) error {
	if Owned(live, owner.GetUID()) {
		if !live.GetDeletionTimestamp().IsZero() {
			return errWait
		}
		return nil
	}
	ref := metav1.GetControllerOfNoCopy(live)
	if ref == nil && a.adopts(owner, live) {
		return nil
	}
	if ref != nil && ref.Name == owner.GetName() && ref.Kind == kindOf(owner) && groupOf(ref) == owner.GetObjectKind().GroupVersionKind().Group {
		// A child of an owner of the same name that is gone: garbage collection takes it away.
		return errWait
	}
	return fmt.Errorf("%w: %s %s belongs to %s", errTaken, kindOf(live), live.GetName(), holder(ref))
}

func groupOf(ref *metav1.OwnerReference) string {
	group, _, _ := strings.Cut(ref.APIVersion, "/")
	return group
}

// holder names who an object belongs to, for people.
func holder(ref *metav1.OwnerReference) string {
	if ref == nil {
		return "nobody in Millrace"
	}
	return ref.Kind + " " + ref.Name
}

// reader reads from the cache.
func (a *applier) reader(o Object) client.Reader {
	if _, loose := o.(runtime.Unstructured); loose && a.deps.Optional != nil {
		return a.deps.Optional
	}
	return a.deps.Client
}

func (a *applier) isUnwatched(o Object) bool { return a.unwatched[reflect.TypeOf(o)] }

// blind is true when reads must not wait for our own write of the object. Waiting opens a watch on its kind: on one
// that is not watched, or on one that may have gone from the cluster, which would be waited for without end.
func (a *applier) blind(o Object) bool {
	_, loose := o.(runtime.Unstructured)
	return loose || a.isUnwatched(o)
}

func (a *applier) readOptions(o Object) []client.GetOption {
	if a.blind(o) {
		return []client.GetOption{client.DisableReadYourWritesConsistency}
	}
	return nil
}

func (a *applier) createOptions(o Object) []client.CreateOption {
	opts := []client.CreateOption{client.FieldOwner(FieldManager)}
	if a.blind(o) {
		opts = append(opts, client.DisableReadYourWritesConsistency)
	}
	return opts
}

func (a *applier) applyOptions(o Object, config runtime.ApplyConfiguration) []client.ApplyOption {
	opts := []client.ApplyOption{client.FieldOwner(FieldManager), client.ForceOwnership}
	// A typed kind without an apply configuration is written unstructured; waiting would open a second watch on it.
	if a.blind(o) || !hasTypedConfiguration(config) {
		opts = append(opts, client.DisableReadYourWritesConsistency)
	}
	return opts
}

// empty is a new object of the same representation and kind.
func empty(o Object) client.Object {
	if _, loose := o.(runtime.Unstructured); loose {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(o.GetObjectKind().GroupVersionKind())
		return u
	}
	fresh := reflect.New(reflect.TypeOf(o).Elem()).Interface().(client.Object)
	fresh.GetObjectKind().SetGroupVersionKind(o.GetObjectKind().GroupVersionKind())
	return fresh
}
