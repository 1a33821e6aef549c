// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/index"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

// Name is the kind's name.
const Name = "Trial"

// Outside is where facts come from that the cache of the manager does not have.
type Outside struct {
	// Jobs reads the kinds of jobs, Live the job of a trial that is stopped before Jobs has shown one.
	Jobs engine.OnDemand
	Live client.Reader
	// Meter measures; nil measures nothing.
	Meter trialjob.Meter
	// Server is where metrics are pushed to. Publish brings its certificate to a namespace, and says why it could not; nil where there is
	// no server.
	Server  trialjob.Server
	Publish func(ctx context.Context, namespace string) string
	// News wakes trials when Jobs or Meter have news.
	News []source.Source
}

// Setup adds the kind to a manager.
func Setup(mgr ctrl.Manager, deps engine.Deps, concurrency int, outside Outside) error {
	watches := func(b *builder.Builder) *builder.Builder {
		b = b.Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(trialOf), builder.WithPredicates(predicate.NewPredicateFuncs(isOfTrial)))
		for _, news := range outside.News {
			b = b.WatchesRawSource(news)
		}
		return b
	}
	return engine.Register(mgr, engine.New(Name, Kind(outside), deps), watches, controller.Options{MaxConcurrentReconciles: concurrency})
}

// trialOf is the Trial that a pod belongs to.
func trialOf(_ context.Context, o client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: o.GetNamespace(), Name: o.GetLabels()[names.Trial]}}}
}

func isOfTrial(o client.Object) bool { return o.GetLabels()[names.Trial] != "" }

// Kind is the Trial as the engine runs it.
func Kind(outside Outside) engine.Kind[*v1alpha1.Trial, World] {
	return engine.Kind[*v1alpha1.Trial, World]{
		Observe: observer{outside}.observe, Plan: Plan, Report: Report, Refuse: Refuse, CanWait: canWait,
		Announce: []engine.Announcement{
			{Condition: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Type: corev1.EventTypeWarning},
			{Condition: v1alpha1.ConditionSucceeded, Status: metav1.ConditionFalse, Type: corev1.EventTypeWarning},
		},
		Gone: outside.release,
	}
}

func (o Outside) release(trial types.NamespacedName) {
	o.Jobs.Release(trial)
	if o.Meter != nil {
		o.Meter.Forget(trial)
	}
}

// observer reads the job of a trial, and what was measured of it.
type observer struct{ Outside }

// readings are what access to a kind means for a trial.
var readings = map[engine.Access]Reading{
	engine.AccessPending: Unknown, engine.AccessReady: Read, engine.AccessMissing: Unserved, engine.AccessForbidden: Forbidden,
	engine.AccessClusterWide: ClusterWide,
}

func (o observer) observe(ctx context.Context, c client.Reader, t *v1alpha1.Trial) (World, error) {
	name := client.ObjectKeyFromObject(t)
	kind, valid := kindIn(t)
	if !valid || settled(t) {
		o.release(name)
		return World{}, nil
	}
	w := World{Unmetered: o.Meter == nil, Server: o.Server}
	if o.Publish != nil && trialjob.Pushes(t.Spec.MetricsCollector) {
		w.Unpublished = o.Publish(ctx, t.Namespace)
	}
	access, why := o.Jobs.Use(kind, name)
	w.Reading, w.Why = readings[access], why
	if access != engine.AccessReady {
		return w, nil
	}
	w.Job = &unstructured.Unstructured{}
	w.Job.SetGroupVersionKind(kind)
	var jobs client.Reader = o.Jobs
	if t.Spec.Stop != nil && t.Status.Job == nil {
		jobs = o.Live // it may have been made a moment ago, and nobody would come back to delete it
	}
	err := jobs.Get(ctx, name, w.Job)
	if apierrors.IsNotFound(err) {
		w.Job = nil
		return w, nil
	}
	if err != nil {
		return w, fmt.Errorf("reading the job: %w", err)
	}
	return w, o.look(ctx, c, t, &w)
}

// look reads the pods of a job of the trial's own, has them measured, and finds the one by which the job failed.
func (o observer) look(ctx context.Context, c client.Reader, t *v1alpha1.Trial, w *World) error {
	if !engine.Owned(w.Job, t.UID) {
		return nil
	}
	var pods corev1.PodList
	if err := c.List(ctx, &pods, client.InNamespace(t.Namespace), client.MatchingFields{index.Trial: t.Name}); err != nil {
		return fmt.Errorf("reading pods: %w", err)
	}
	w.Requests, w.Began = requestsOf(pods.Items), beganAt(pods.Items)
	state := trialjob.Judge(t.Spec.Template, w.Job).State
	if t.Status.Requests == nil && (state == trialjob.Succeeded || state == trialjob.Failed || t.Spec.Stop != nil) {
		w.Held = heldBy(pods.Items)
	}
	if state == trialjob.Failed {
		w.Cause = causeOf(pods.Items)
	}
	if o.Meter == nil {
		return nil
	}
	target := trialjob.TargetOf(t, w.Job, state == trialjob.Succeeded || state == trialjob.Failed)
	target.Pods = pods.Items
	o.Meter.Follow(target)
	w.Measured, _ = o.Meter.Measured(t.UID)
	return nil
}
