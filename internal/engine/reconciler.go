// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// Waits of the engine's own. The watch on what is waited for usually wakes the object earlier.
const (
	// refusedAgain is the wait before a refused write is tried again, and refusedMax what that doubles up to where only
	// somebody's change can help: who freed the name or the quota does not tell us.
	refusedAgain = 30 * time.Second
	refusedMax   = 8 * time.Minute
	// goneAgain is the wait for an object that is on its way out.
	goneAgain = 5 * time.Second
	// unreadAgain is the wait before a world that was read in part is read again.
	unreadAgain = 10 * time.Second
	// finalizeAgain is the wait before unfinished finalization is tried again.
	finalizeAgain = 10 * time.Second
)

// Deps are what the engine needs of the manager.
type Deps struct {
	// Client writes, and reads from the cache.
	Client client.Client
	// Live reads from the API server, to see what a filtered cache hides.
	Live client.Reader
	// Recorder makes events.
	Recorder events.EventRecorder
	// Clock gives the time.
	Clock clock.PassiveClock
	// Optional reads kinds that may come and go, which are unstructured. Needed by kinds whose plans name such objects.
	Optional *Optional
}

// Reconciler runs one kind. It is a reconcile.ObjectReconciler.
type Reconciler[T Owner, W any] struct {
	Kind[T, W]
	name     string
	deps     Deps
	applier  *applier
	memories *memories
}

// New returns the reconciler of a kind; name is the kind's, such as TrainingJob.
func New[T Owner, W any](name string, kind Kind[T, W], deps Deps) *Reconciler[T, W] {
	return &Reconciler[T, W]{
		Kind: kind, name: name, deps: deps,
		applier:  newApplier(deps, kind.Unwatched, adopts(kind.Adopts)),
		memories: newMemories(),
	}
}

// Forget drops what is remembered of an object that is gone, so that memory does not grow with every object there ever was.
func (r *Reconciler[T, W]) Forget(o metav1.Object) {
	r.gone(types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()})
}

func (r *Reconciler[T, W]) gone(name types.NamespacedName) {
	r.memories.drop(name)
	if r.Gone != nil {
		r.Gone(name)
	}
}

// Reconcile is one pass over one object. The object is the caller's own copy.
func (r *Reconciler[T, W]) Reconcile(ctx context.Context, obj T) (ctrl.Result, error) {
	if gvk, err := apiutil.GVKForObject(obj, r.deps.Client.Scheme()); err == nil {
		obj.GetObjectKind().SetGroupVersionKind(gvk)
	}
	if r.Ours != nil && !r.Ours(obj) {
		return ctrl.Result{}, nil
	}
	m := r.memories.get(obj)
	again, err := r.pass(ctx, m, obj)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: m.conflicted()}, nil
	}
	m.conflicts = 0
	return ctrl.Result{RequeueAfter: again}, err
}

// pass returns when to come back.
func (r *Reconciler[T, W]) pass(ctx context.Context, m *memory, obj T) (time.Duration, error) {
	if !obj.GetDeletionTimestamp().IsZero() {
		return r.finalize(ctx, m, obj)
	}
	if err := r.claim(ctx, obj); err != nil {
		return 0, err
	}
	world, err := r.observe(ctx, obj)
	if err != nil {
		return 0, r.broken(ctx, m, obj, err)
	}
	now := r.deps.Clock.Now()
	plan, err := r.plan(obj, world, now)
	if err != nil {
		return 0, r.broken(ctx, m, obj, err)
	}
	did := r.act(ctx, obj, m, plan)
	r.announceSteps(obj, did.done)
	after, patient, err := r.report(obj, world, now, did.refusals)
	if err != nil {
		return 0, errors.Join(append(did.errs, r.broken(ctx, m, obj, err))...)
	}
	flush, err := r.store(ctx, m, obj, after, patient)
	switch {
	case apierrors.IsConflict(err):
		did.conflict = true
	case err != nil:
		did.errs = append(did.errs, err)
	}
	if len(did.errs) > 0 {
		return 0, errors.Join(did.errs...)
	}
	if did.conflict {
		return 0, apierrors.NewConflict(schema.GroupResource{}, obj.GetName(), errors.New("something changed since it was read"))
	}
	return Soonest(plan.Again, flush, did.again, unread(world), m.refused(did.refusals)), nil
}

// observe calls Observe; a panic in it is a fault of ours, which must cost one object its progress and not the manager its life.
func (r *Reconciler[T, W]) observe(ctx context.Context, obj T) (world W, err error) {
	defer r.caught("observe", &err)
	world, err = r.Observe(ctx, r.deps.Client, obj)
	if err != nil {
		err = fmt.Errorf("observing %s: %w", r.name, err)
	}
	return world, err
}

// plan calls Plan.
func (r *Reconciler[T, W]) plan(obj T, world W, now time.Time) (plan Plan, err error) {
	defer r.caught("plan", &err)
	plan = r.Plan(copyOf(obj), world, now)
	return plan, Own(obj, plan, r.deps.Client.Scheme())
}

// report calls Report and Refuse on a copy and returns it, with whether it may be stored later.
func (r *Reconciler[T, W]) report(obj T, world W, now time.Time, refused []Refusal) (after T, patient bool, err error) {
	defer r.caught("report", &err)
	after = copyOf(obj)
	r.Report(after, world, now)
	if len(refused) > 0 && r.Refuse != nil {
		r.Refuse(after, refused)
	}
	after.SetObservedGeneration(obj.GetGeneration())
	settle(obj.GetConditions(), after, now)
	return after, r.CanWait != nil && r.CanWait(obj, after), nil
}

func (r *Reconciler[T, W]) caught(step string, err *error) {
	if cause := recover(); cause != nil {
		planPanics.WithLabelValues(r.name, step).Inc()
		*err = &panicError{step: step, cause: cause, stack: debug.Stack()}
	}
}

type panicError struct {
	step  string
	cause any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("%s panicked: %v", p.step, p.cause) }

// broken says on the object that planning failed by a fault of ours. It is not retried until something changes.
func (r *Reconciler[T, W]) broken(ctx context.Context, m *memory, obj T, cause error) error {
	var p *panicError
	if !errors.As(cause, &p) {
		return cause
	}
	log.FromContext(ctx).Error(p, "A fault in Millrace: the object is left as it is", "stack", string(p.stack))
	after := copyOf(obj)
	after.SetObservedGeneration(obj.GetGeneration())
	now := r.deps.Clock.Now()
	after.SetConditions(withConditions(after.GetConditions(),
		metav1.Condition{Type: "Reconciling", Status: metav1.ConditionFalse, Reason: "InternalError", Message: "Nothing is done until the object changes."},
		metav1.Condition{
			Type: "Stalled", Status: metav1.ConditionTrue, Reason: "InternalError",
			Message: "Millrace failed while thinking about this object, by a fault of its own: " + clip(p.Error()) + ". Please report it with the manager's log.",
		}))
	settle(obj.GetConditions(), after, now)
	_, err := r.store(ctx, m, obj, after, false)
	return err
}

// claim puts the finalizer on the object before anything outside the cluster can exist for it.
func (r *Reconciler[T, W]) claim(ctx context.Context, obj T) error {
	if r.Finalize == nil || slices.Contains(obj.GetFinalizers(), r.Finalizer) {
		return nil
	}
	before := copyOf(obj)
	controllerutil.AddFinalizer(any(obj).(client.Object), r.Finalizer)
	if err := r.deps.Client.Patch(ctx, any(obj).(client.Object), optimistic(before)); err != nil {
		return fmt.Errorf("adding finalizer: %w", err)
	}
	return nil
}

func (r *Reconciler[T, W]) finalize(ctx context.Context, m *memory, obj T) (time.Duration, error) {
	if r.Finalize == nil || !slices.Contains(obj.GetFinalizers(), r.Finalizer) {
		r.Forget(obj)
		return 0, nil
	}
	done, err := r.finished(ctx, obj)
	if err != nil {
		return 0, r.broken(ctx, m, obj, err)
	}
	if !done {
		return finalizeAgain, nil
	}
	before := copyOf(obj)
	controllerutil.RemoveFinalizer(any(obj).(client.Object), r.Finalizer)
	if err := r.deps.Client.Patch(ctx, any(obj).(client.Object), optimistic(before)); client.IgnoreNotFound(err) != nil {
		return 0, fmt.Errorf("removing finalizer: %w", err)
	}
	r.Forget(obj)
	return 0, nil
}

// finished calls Finalize.
func (r *Reconciler[T, W]) finished(ctx context.Context, obj T) (done bool, err error) {
	defer r.caught("finalize", &err)
	done, err = r.Finalize(ctx, copyOf(obj))
	if err != nil {
		err = fmt.Errorf("finalizing %s: %w", r.name, err)
	}
	return done, err
}

// Own makes every planned object the owner's child, in the owner's namespace, and fills in its kind. What is marked to be kept gets
// no owner reference.
func Own(owner Owner, plan Plan, scheme *runtime.Scheme) error {
	children := slices.Clone(plan.Apply)
	for _, s := range plan.Create {
		children = append(children, s.Object)
	}
	for _, c := range children {
		gvk, err := apiutil.GVKForObject(c, scheme)
		if err != nil {
			return fmt.Errorf("planning %s: %w", c.GetName(), err)
		}
		c.GetObjectKind().SetGroupVersionKind(gvk)
		if c.GetNamespace() == "" {
			c.SetNamespace(owner.GetNamespace())
		}
		if kept(c, owner.GetUID()) {
			continue
		}
		if err := controllerutil.SetControllerReference(owner, c, scheme, controllerutil.WithBlockOwnerDeletion(false)); err != nil {
			return fmt.Errorf("owning %s: %w", c.GetName(), err)
		}
	}
	return nil
}

func unread[W any](world W) time.Duration {
	if w, ok := any(world).(Unknowable); ok && len(w.Unread()) > 0 {
		return unreadAgain
	}
	return 0
}

// Soonest is the smallest wait that is not zero, or zero.
func Soonest(waits ...time.Duration) time.Duration {
	least := time.Duration(0)
	for _, w := range waits {
		if w > 0 && (least == 0 || w < least) {
			least = w
		}
	}
	return least
}

func copyOf[T Owner](obj T) T { return obj.DeepCopyObject().(T) }

func optimistic(before Object) client.Patch {
	return client.MergeFromWithOptions(before.(client.Object), client.MergeFromWithOptimisticLock{})
}
