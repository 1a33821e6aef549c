// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// longest is how long one pass may take: an API server that does not answer must not hold a worker for ever.
const longest = 60 * time.Second

// patience is the longest wait after errors: an API server or a webhook that is back should not be waited for by the hour.
const patience = time.Minute

// Register adds the controller of a kind to a manager. It watches the kind itself; watches adds the rest, and may be nil.
func Register[T Owner, W any](
	mgr ctrl.Manager, r *Reconciler[T, W], watches func(*builder.Builder) *builder.Builder, opts controller.Options,
) error {
	if opts.ReconciliationTimeout == 0 {
		opts.ReconciliationTimeout = longest
	}
	if opts.RateLimiter == nil {
		opts.RateLimiter = workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](5*time.Millisecond, patience)
	}
	b := builder.ControllerManagedBy(mgr).Named(strings.ToLower(r.name)).For(r.blank()).WithOptions(opts)
	if watches != nil {
		b = watches(b)
	}
	if err := b.Complete(r.ByName()); err != nil {
		return fmt.Errorf("registering %s: %w", r.name, err)
	}
	return nil
}

// ByName returns a reconciler of names. It reads the object, and forgets one that is gone.
func (r *Reconciler[T, W]) ByName() reconcile.Reconciler {
	return reconcile.Func(func(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
		obj := r.blank()
		err := r.deps.Client.Get(ctx, request.NamespacedName, obj)
		if apierrors.IsNotFound(err) {
			r.gone(request.NamespacedName)
			return ctrl.Result{}, nil
		}
		if err != nil {
			return ctrl.Result{}, fmt.Errorf("reading %s: %w", r.name, err)
		}
		return r.Reconcile(ctx, any(obj).(T))
	})
}

// blank is a new object of the kind.
func (r *Reconciler[T, W]) blank() client.Object {
	return reflect.New(reflect.TypeFor[T]().Elem()).Interface().(client.Object)
}
