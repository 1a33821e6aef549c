// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
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

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/controllers/accelerator"
	"github.com/millrace-ml/millrace/controllers/notebook"
	"github.com/millrace-ml/millrace/controllers/poddefault"
	"github.com/millrace-ml/millrace/controllers/profile"
	"github.com/millrace-ml/millrace/controllers/trainingjob"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/gang"
	"github.com/millrace-ml/millrace/internal/health"
	"github.com/millrace-ml/millrace/internal/index"
	"github.com/millrace-ml/millrace/internal/names"
	tenants "github.com/millrace-ml/millrace/internal/profile"
)

// Options are settings of all controllers.
type Options struct {
	// MaxConcurrentReconciles is how many objects of a kind are worked on at once.
	MaxConcurrentReconciles int
	// Gangs are settings of jobs whose pods are placed together.
	Gangs gang.Settings
	// Healing is what nodes are judged by.
	Healing health.Policy
	// Notebooks are settings of notebooks, Probing says how they are asked when they were last used.
	Notebooks notebook.Settings
	Probing   notebook.Probing
	// Profiles are settings of all Profiles.
	Profiles tenants.Settings
}

// kinds is the list of everything Millrace runs.
var kinds = []func(ctrl.Manager, engine.Deps, Options) error{
	func(mgr ctrl.Manager, deps engine.Deps, o Options) error {
		return accelerator.Setup(mgr, deps, o.MaxConcurrentReconciles)
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
		return notebook.Setup(mgr, deps, notebook.Options{Concurrency: o.MaxConcurrentReconciles, Settings: o.Notebooks, Probing: o.Probing})
	},
}

// Setup adds every kind to a manager.
func Setup(ctx context.Context, mgr ctrl.Manager, opts Options) error {
	if err := index.Add(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	optional, err := engine.NewOptional(mgr, slices.Concat(accelerator.Optional, notebook.Optional, poddefault.Optional, profile.Optional, trainingjob.Optional)...)
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
			&appsv1.StatefulSet{}:           {Label: own},
			&corev1.PersistentVolumeClaim{}: {Label: own},
			&corev1.Pod{}:                   {Transform: strings.pod},
			&v1alpha1.TrainingJob{}:         {Transform: strings.job},
			&corev1.Node{}:                  {Transform: stripNode},
			&corev1.Service{}:               {Label: own},
			&corev1.ConfigMap{}:             {Label: own},
			&corev1.ServiceAccount{}:        {Label: own},
			&corev1.ResourceQuota{}:         {Label: own},
			&corev1.LimitRange{}:            {Label: own},
			&rbacv1.RoleBinding{}:           {Label: own},
			&networkingv1.NetworkPolicy{}:   {Label: own},
			&corev1.Event{}:                 {Field: fields.OneTermEqualSelector("reason", trainingjob.FailedMount)},
		},
		DefaultTransform: stripOther,
	}
}
