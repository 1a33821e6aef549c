// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/controllers/accelerator"
	"github.com/millrace-ml/millrace/controllers/experiment"
	"github.com/millrace-ml/millrace/controllers/notebook"
	"github.com/millrace-ml/millrace/controllers/poddefault"
	"github.com/millrace-ml/millrace/controllers/profile"
	"github.com/millrace-ml/millrace/controllers/suggestion"
	"github.com/millrace-ml/millrace/controllers/trainingjob"
	"github.com/millrace-ml/millrace/controllers/trial"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/gang"
	"github.com/millrace-ml/millrace/internal/health"
	"github.com/millrace-ml/millrace/internal/index"
	"github.com/millrace-ml/millrace/internal/names"
	tenants "github.com/millrace-ml/millrace/internal/profile"
	"github.com/millrace-ml/millrace/internal/proposer"
	"github.com/millrace-ml/millrace/internal/server"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

// Options are settings of all controllers.
type Options struct {
	// MaxConcurrentReconciles is how many objects of a kind are worked on at once.
	MaxConcurrentReconciles int
	// Gangs are settings of jobs whose pods are placed together.
	Gangs gang.Settings
	// Healing is what nodes are judged by.
	Healing health.Policy
	// Profiles are settings of all Profiles.
	Profiles tenants.Settings
	// Notebooks are settings of notebooks, Probing says how they are asked when they were last used.
	Notebooks notebook.Settings
	Probing   notebook.Probing
	// Metrics is what measures trials.
	Metrics Metrics
}

// Meter measures trials, and wakes Trials and Experiments when it has news.
type Meter interface {
	trialjob.Meter
	Trials() source.Source
	Experiments() source.Source
}

// Metrics is what measures trials.
type Metrics struct {
	// Meter follows logs, scrapes endpoints and takes what is pushed; nil measures nothing.
	Meter Meter
	// Publisher brings the CA of the server to the namespaces of pods that push; nil when there is no server.
	Publisher *server.Publisher
	// Namespace is the manager's, where the server is; empty when there is none.
	Namespace string
	// Launcher is the image with the launcher; empty when it is not known.
	Launcher string
}

// kinds is the list of everything Millrace runs.
var kinds = []func(ctrl.Manager, engine.Deps, Options) error{
	func(mgr ctrl.Manager, deps engine.Deps, o Options) error {
		return accelerator.Setup(mgr, deps, accelerator.Options{Concurrency: o.MaxConcurrentReconciles, Healing: o.Healing})
	},
	func(mgr ctrl.Manager, deps engine.Deps, o Options) error {
		return poddefault.Setup(mgr, deps, o.MaxConcurrentReconciles)
	},
	func(mgr ctrl.Manager, deps engine.Deps, o Options) error {
		return profile.Setup(mgr, deps, profile.Options{Concurrency: o.MaxConcurrentReconciles, Settings: o.Profiles})
	},
	func(mgr ctrl.Manager, deps engine.Deps, o Options) error {
		return trainingjob.Setup(mgr, deps, trainingjob.Options{Concurrency: o.MaxConcurrentReconciles, Gangs: o.Gangs, Healing: o.Healing})
	},
	func(mgr ctrl.Manager, deps engine.Deps, o Options) error {
		found := proposer.NewPool(searches)
		outside := experiment.Outside{Proposer: found, Live: deps.Live, News: []source.Source{found.Source()}}
		if o.Metrics.Meter != nil {
			outside.Meter, outside.News = o.Metrics.Meter, append(outside.News, o.Metrics.Meter.Experiments())
		}
		return errors.Join(mgr.Add(found), experiment.Setup(mgr, deps, o.MaxConcurrentReconciles, outside))
	},
	func(mgr ctrl.Manager, deps engine.Deps, o Options) error {
		found := proposer.NewPool(1)
		outside := suggestion.Outside{Proposer: found, News: []source.Source{found.Source()}}
		return errors.Join(mgr.Add(found), suggestion.Setup(mgr, deps, o.MaxConcurrentReconciles, outside))
	},
	func(mgr ctrl.Manager, deps engine.Deps, o Options) error {
		jobs, err := engine.NewOnDemandCache(mgr, names.Trial)
		if err != nil {
			return err
		}
		server := trialjob.Server{Namespace: o.Metrics.Namespace, Launcher: o.Metrics.Launcher}
		outside := trial.Outside{Jobs: jobs, Live: deps.Live, Server: server, News: []source.Source{jobs.Source()}}
		if o.Metrics.Publisher != nil {
			outside.Publish = o.Metrics.Publisher.Need
		}
		if o.Metrics.Meter != nil {
			outside.Meter, outside.News = o.Metrics.Meter, append(outside.News, o.Metrics.Meter.Trials())
		}
		return trial.Setup(mgr, deps, o.MaxConcurrentReconciles, outside)
	},
	func(mgr ctrl.Manager, deps engine.Deps, o Options) error {
		return notebook.Setup(mgr, deps, notebook.Options{Concurrency: o.MaxConcurrentReconciles, Settings: o.Notebooks, Probing: o.Probing})
	},
}

// searches is how many experiments have proposals worked out at once. Each takes a processor for up to a second.
const searches = 2

// Setup adds every kind to a manager.
func Setup(ctx context.Context, mgr ctrl.Manager, opts Options) error {
	if err := index.Add(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	optional, err := engine.NewOptional(mgr, slices.Concat(
		accelerator.Optional, notebook.Optional, poddefault.Optional, profile.Optional, trainingjob.Optional)...)
	if err != nil {
		return err
	}
	deps := engine.Deps{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Optional: optional,
		Recorder: mgr.GetEventRecorder(names.Manager), Clock: clock.RealClock{},
	}
	for _, setup := range kinds {
		if err := setup(mgr, deps, opts); err != nil {
			return fmt.Errorf("setting up controllers: %w", err)
		}
	}
	return nil
}

// Scheme knows every type the manager reads or writes.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("building the scheme: %w", err)
		}
	}
	return scheme, nil
}

// CacheOptions keep the cache small: pods and nodes without what no plan reads, what Profiles and jobs have only where it is ours, and of
// the events of the cluster those of volumes that cannot be mounted, which nothing else tells.
func CacheOptions() cache.Options {
	strings := newPool()
	own := labels.SelectorFromSet(labels.Set{names.ManagedBy: names.Manager})
	return cache.Options{
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}:                   {Transform: strings.pod},
			&v1alpha1.TrainingJob{}:         {Transform: strings.job},
			&corev1.Node{}:                  {Transform: stripNode},
			&corev1.Service{}:               {Label: own},
			&corev1.ConfigMap{}:             {Label: own},
			&corev1.ResourceQuota{}:         {Label: own},
			&corev1.LimitRange{}:            {Label: own},
			&rbacv1.RoleBinding{}:           {Label: own},
			&networkingv1.NetworkPolicy{}:   {Label: own},
			&appsv1.StatefulSet{}:           {Label: own},
			&corev1.PersistentVolumeClaim{}: {Label: own}, // those that our StatefulSets made
			// Whoever made them: notebooks run as those of Kubeflow's Profiles too. The one that every namespace has is of no use.
			&corev1.ServiceAccount{}: {Field: fields.OneTermNotEqualSelector("metadata.name", "default")},
			&corev1.Event{}:          {Field: fields.OneTermEqualSelector("reason", trainingjob.FailedMount)},
		},
		DefaultTransform: stripOther,
	}
}
