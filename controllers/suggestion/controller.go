// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggestion

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/index"
	"github.com/millrace-ml/millrace/internal/proposer"
	"github.com/millrace-ml/millrace/internal/study"
)

// Name is the kind's name.
const Name = "Suggestion"

// Outside is where facts come from that the cache of the manager does not have.
type Outside struct {
	// Proposer works proposals out.
	Proposer proposer.Proposer
	// News wakes suggestions when it has.
	News []source.Source
}

// Setup adds the kind to a manager.
func Setup(mgr ctrl.Manager, deps engine.Deps, concurrency int, outside Outside) error {
	watches := func(b *builder.Builder) *builder.Builder {
		b = b.Watches(&v1alpha1.Experiment{}, handler.EnqueueRequestsFromMapFunc(recordOf))
		for _, news := range outside.News {
			b = b.WatchesRawSource(news)
		}
		return b
	}
	return engine.Register(mgr, engine.New(Name, Kind(outside), deps), watches, controller.Options{MaxConcurrentReconciles: concurrency})
}

// recordOf is the Suggestion that an experiment makes: the one of its name.
func recordOf(_ context.Context, o client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(o)}}
}

// Kind is the Suggestion as the engine runs it.
func Kind(outside Outside) engine.Kind[*v1alpha1.Suggestion, World] {
	return engine.Kind[*v1alpha1.Suggestion, World]{
		Observe: observer{outside}.observe, Plan: Plan, Report: Report,
		Announce: []engine.Announcement{{Condition: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Type: "Warning"}},
		Gone:     outside.Proposer.Forget,
	}
}

type observer struct{ Outside }

func (o observer) observe(ctx context.Context, c client.Reader, s *v1alpha1.Suggestion) (World, error) {
	if s.Spec.Search == nil {
		return read(ctx, c, s)
	}
	var w World
	made, faults := studyOf(s)
	want := wanted(s, made, faults)
	if want == 0 {
		return w, nil
	}
	answer, known := o.Proposer.Ask(client.ObjectKeyFromObject(s), proposer.Query{
		Of: string(s.UID), ID: fmt.Sprintf("%d/%d/%d", len(made.Records), len(s.Spec.Results), want), From: len(made.Records),
		Run: func(cancelled func() bool) study.Result { return made.Next(want, cancelled) },
	})
	w.Answer, w.Searching = answer, !known
	return w, nil
}

// read finds the trials of the experiment.
func read(ctx context.Context, c client.Reader, s *v1alpha1.Suggestion) (World, error) {
	var e v1alpha1.Experiment
	err := c.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: s.Spec.Experiment}, &e)
	if apierrors.IsNotFound(err) {
		return World{Missing: true}, nil
	}
	if err != nil {
		return World{}, fmt.Errorf("reading the experiment: %w", err)
	}
	var trials v1alpha1.TrialList
	mine := client.MatchingFields{index.OwnerUID: string(e.UID)}
	if err := c.List(ctx, &trials, client.InNamespace(s.Namespace), mine, client.UnsafeDisableDeepCopy); err != nil {
		return World{}, fmt.Errorf("reading trials: %w", err)
	}
	return World{Trials: trials.Items, Over: condition.Decided(&e, v1alpha1.ConditionSucceeded)}, nil
}
