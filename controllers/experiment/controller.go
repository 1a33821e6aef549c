// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/source"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/index"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/proposer"
	"github.com/millrace-ml/millrace/internal/study"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

// Name is the kind's name.
const Name = "Experiment"

// Outside is where facts come from that the cache of the manager does not have.
type Outside struct {
	// Proposer works proposals out.
	Proposer proposer.Proposer
	// Meter measures running trials; nil measures nothing.
	Meter trialjob.Meter
	// Live reads ConfigMaps of users, which are not watched.
	Live client.Reader
	// News wakes experiments when Proposer or Meter have news.
	News []source.Source
}

// Setup adds the kind to a manager.
func Setup(mgr ctrl.Manager, deps engine.Deps, concurrency int, outside Outside) error {
	watches := func(b *builder.Builder) *builder.Builder {
		b = b.Owns(&v1alpha1.Trial{}).Owns(&corev1.ConfigMap{})
		for _, news := range outside.News {
			b = b.WatchesRawSource(news)
		}
		return b
	}
	return engine.Register(mgr, engine.New(Name, Kind(outside), deps), watches, controller.Options{MaxConcurrentReconciles: concurrency})
}

// Kind is the Experiment as the engine runs it.
func Kind(outside Outside) engine.Kind[*v1alpha1.Experiment, World] {
	return engine.Kind[*v1alpha1.Experiment, World]{
		Observe: observer{outside, newPages()}.observe, Plan: Plan, Report: Report, Refuse: Refuse, CanWait: canWait,
		Announce: []engine.Announcement{
			{Condition: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Type: corev1.EventTypeWarning},
			{Condition: v1alpha1.ConditionSucceeded, Status: metav1.ConditionTrue, Type: corev1.EventTypeNormal},
			{Condition: v1alpha1.ConditionSucceeded, Status: metav1.ConditionFalse, Type: corev1.EventTypeWarning},
		},
		Gone: outside.Proposer.Forget,
	}
}

// observer reads the trials of an experiment, and asks for the next.
type observer struct {
	Outside
	*pages
}

func (o observer) observe(ctx context.Context, c client.Reader, e *v1alpha1.Experiment) (World, error) {
	known, err := prior(ctx, c, o.pages, e)
	if err != nil {
		return World{}, err
	}
	w, err := o.load(ctx, c, e, client.MatchingFields{index.OwnerUID: string(e.UID)})
	if err != nil {
		return w, err
	}
	w.Prior = known
	if w.study(e); fewer(e, stateOf(e, w, time.Time{})) {
		// A manager that has just started may see older trials than the status counted, which would be counted twice.
		if w, err = o.load(ctx, o.Live, e, client.MatchingLabels{names.Experiment: e.Name}); err != nil {
			return w, err
		}
		w.Prior = known
		w.study(e)
	}
	err = c.Get(ctx, client.ObjectKeyFromObject(e), &v1alpha1.Suggestion{})
	if w.Recorded = err == nil; client.IgnoreNotFound(err) != nil {
		return w, fmt.Errorf("reading the suggestion: %w", err)
	}
	w.Live = live(o.Meter, w.Trials)
	return w, o.ask(ctx, e, &w)
}

// ask has the next proposals worked out, when there is room for some, and reads the template they need.
func (o observer) ask(ctx context.Context, e *v1alpha1.Experiment, w *World) error {
	who := client.ObjectKeyFromObject(e)
	state := stateOf(e, *w, time.Time{})
	if d := decide(e, *w, state); d.over || d.rejected || d.phase == v1alpha1.PhaseSuspended {
		o.Proposer.Forget(who)
		return nil
	}
	s, want := state.study, state.room(e)
	if want == 0 {
		return nil
	}
	answer, known := o.Proposer.Ask(who, proposer.Query{
		Of: fmt.Sprintf("%s/%d", e.UID, e.Generation), ID: fmt.Sprintf("%d/%d/%d", len(s.Records), s.Over, want), From: len(s.Records),
		Run: func(cancelled func() bool) study.Result { return s.Next(want, cancelled) },
	})
	w.Answer, w.Searching = answer, !known
	if len(answer.Found) > 0 || len(s.Records) == 0 {
		return o.template(ctx, e, w)
	}
	return nil
}

// template reads the template from its ConfigMap.
func (o observer) template(ctx context.Context, e *v1alpha1.Experiment, w *World) error {
	from := e.Spec.TrialTemplate.ConfigMap
	if from == nil {
		return nil
	}
	var config corev1.ConfigMap
	err := o.Live.Get(ctx, client.ObjectKey{Namespace: e.Namespace, Name: from.Name}, &config)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading the template: %w", err)
	}
	text, found := config.Data[from.Key]
	if apierrors.IsNotFound(err) || !found {
		w.Missing = fmt.Sprintf("spec.trialTemplate.configMap: there is no ConfigMap %s with the key %s: create it.", from.Name, from.Key)
		return nil
	}
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		raw = []byte(text) // what is wrong with it is told as with any template
	}
	w.Template = &runtime.RawExtension{Raw: raw}
	return nil
}
