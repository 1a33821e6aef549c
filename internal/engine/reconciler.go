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
	// refusedAgain is the wait before a refused write is tried again: who freed the name or the quota does not tell us.
	refusedAgain = 30 * time.Second
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
}

// Reconciler runs one kind. It is a reconcile.ObjectReconciler.
type Reconciler[T Owner, W any] struct {
	Kind[T, W]
	name    string
	deps    Deps
	applier *applier
	pace    *pace
}

// New returns the reconciler of a kind; name is the kind's, such as TrainingJob.
func New[T Owner, W any](name string, kind Kind[T, W], deps Deps) *Reconciler[T, W] {
	return &Reconciler[T, W]{
		Kind: kind, name: name, deps: deps,
		applier: newApplier(deps, kind.Unwatched),
		pace:    newPace(),
	}
}

// Forget drops what is remembered of an object that is gone, so that memory does not grow with every object there ever was.
func (r *Reconciler[T, W]) Forget(o metav1.Object) {
	r.applier.forget(o.GetUID())
	r.pace.forget(o.GetUID())
}

// Reconcile is one pass over one object. The object is the caller's own copy.
func (r *Reconciler[T, W]) Reconcile(ctx context.Context, obj T) (ctrl.Result, error) {
	if !obj.GetDeletionTimestamp().IsZero() {
		return r.finalize(ctx, obj)
	}
	if err := r.claim(ctx, obj); err != nil {
		return quiet(err)
	}
	world, err := r.Observe(ctx, r.deps.Client, obj)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observing %s: %w", r.name, err)
	}
	now := r.deps.Clock.Now()
	plan, err := r.plan(obj, world, now)
	if err != nil {
		return r.broken(ctx, obj, err)
	}
	did := r.act(ctx, obj, plan)
	r.announceSteps(obj, did.done)
	after, err := r.report(obj, world, now, did.refusals)
	if err != nil {
		return r.broken(ctx, obj, err)
	}
	flush, err := r.store(ctx, obj, after)
	if err != nil {
		did.errs = append(did.errs, err)
	}
	again := soonest(plan.Again, flush, did.again, unread(world))
	if err := errors.Join(did.errs...); err != nil {
		return quiet(err)
	}
	return ctrl.Result{RequeueAfter: again}, nil
}

// plan calls Plan; a panic in it is a fault of ours, which must cost one object its progress and not the manager its life.
func (r *Reconciler[T, W]) plan(obj T, world W, now time.Time) (plan Plan, err error) {
	defer r.caught("plan", &err)
	plan = r.Plan(copyOf(obj), world, now)
	return plan, Own(obj, plan, r.deps.Client.Scheme())
}

// report calls Report and Refuse on a copy and returns it.
func (r *Reconciler[T, W]) report(obj T, world W, now time.Time, refused []Refusal) (after T, err error) {
	defer r.caught("report", &err)
	after = copyOf(obj)
	r.Report(after, world, now)
	if len(refused) > 0 && r.Refuse != nil {
		r.Refuse(after, refused)
	}
	after.SetObservedGeneration(obj.GetGeneration())
	settle(obj.GetConditions(), after, now)
	return after, nil
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
func (r *Reconciler[T, W]) broken(ctx context.Context, obj T, cause error) (ctrl.Result, error) {
	var p *panicError
	if !errors.As(cause, &p) {
		return ctrl.Result{}, cause
	}
	log.FromContext(ctx).Error(p, "A fault in Millrace: the object is left as it is", "stack", string(p.stack))
	after := copyOf(obj)
	after.SetObservedGeneration(obj.GetGeneration())
	now := r.deps.Clock.Now()
	after.SetConditions(withConditions(after.GetConditions(),
		metav1.Condition{Type: "Reconciling", Status: metav1.ConditionFalse, Reason: "InternalError", Message: "Nothing is done until the object changes."},
		metav1.Condition{
			Type: "Stalled", Status: metav1.ConditionTrue, Reason: "InternalError",
			Message: "Millrace failed while thinking about this object, by a fault of its own: " + p.Error() + ". Please report it with the manager's log.",
		}))
	settle(obj.GetConditions(), after, now)
	_, err := r.store(ctx, obj, after)
	return quiet(err)
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

func (r *Reconciler[T, W]) finalize(ctx context.Context, obj T) (ctrl.Result, error) {
	if r.Finalize == nil || !slices.Contains(obj.GetFinalizers(), r.Finalizer) {
		r.Forget(obj)
		return ctrl.Result{}, nil
	}
	done, err := r.Finalize(ctx, obj)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("finalizing %s: %w", r.name, err)
	}
	if !done {
		return ctrl.Result{RequeueAfter: finalizeAgain}, nil
	}
	before := copyOf(obj)
	controllerutil.RemoveFinalizer(any(obj).(client.Object), r.Finalizer)
	err = r.deps.Client.Patch(ctx, any(obj).(client.Object), optimistic(before))
	r.Forget(obj)
	return quiet(client.IgnoreNotFound(err))
}

// Own makes every planned object the owner's child, in the owner's namespace, and fills in its kind.
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
		if err := controllerutil.SetControllerReference(owner, c, scheme, controllerutil.WithBlockOwnerDeletion(false)); err != nil {
			return fmt.Errorf("owning %s: %w", c.GetName(), err)
		}
	}
	return nil
}

// quiet turns a conflict into a plain requeue: a newer version of the object is on its way to the cache.
func quiet(err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: 50 * time.Millisecond}, nil
	}
	return ctrl.Result{}, err
}

func unread[W any](world W) time.Duration {
	if w, ok := any(world).(Unknowable); ok && len(w.Unread()) > 0 {
		return unreadAgain
	}
	return 0
}

// soonest is the smallest wait that is not zero, or zero.
func soonest(waits ...time.Duration) time.Duration {
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
