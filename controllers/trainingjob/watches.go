// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/accelerator"
	"github.com/millrace-ml/millrace/internal/index"
)

// accelerators reads the Accelerators for a job that names one. All of them: what is there instead is part of the answer.
func accelerators(ctx context.Context, c client.Reader, job *v1alpha1.TrainingJob) ([]v1alpha1.Accelerator, error) {
	asks := slices.ContainsFunc(job.Spec.Roles, func(r v1alpha1.Role) bool { return r.Accelerator != nil })
	if !asks || ended(job) {
		return nil, nil
	}
	var all v1alpha1.AcceleratorList
	err := c.List(ctx, &all, client.UnsafeDisableDeepCopy)
	return all.Items, err
}

// jobsAsking finds the jobs that an Accelerator is news for: those that name it, and those that were told of the others there are.
func jobsAsking(c client.Reader) handler.MapFunc {
	return func(ctx context.Context, o client.Object) []reconcile.Request {
		var found []reconcile.Request
		for _, value := range []string{o.GetName(), index.AnyAccelerator} {
			var jobs v1alpha1.TrainingJobList
			if c.List(ctx, &jobs, client.MatchingFields{index.Accelerators: value}, client.UnsafeDisableDeepCopy) != nil {
				continue // the cache is stopping
			}
			for i := range jobs.Items {
				found = append(found, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&jobs.Items[i])})
			}
		}
		return found
	}
}

// podDefaults reads the PodDefaults of a job's namespace.
func podDefaults(ctx context.Context, c client.Reader, job *v1alpha1.TrainingJob) ([]v1alpha1.PodDefault, error) {
	var all v1alpha1.PodDefaultList
	err := c.List(ctx, &all, client.InNamespace(job.Namespace), client.UnsafeDisableDeepCopy)
	return all.Items, err
}

// jobsClashing finds the jobs whose pods a PodDefault of their namespace keeps from being made. Others take it in when they make pods.
func jobsClashing(c client.Reader) handler.MapFunc {
	return func(ctx context.Context, o client.Object) []reconcile.Request {
		var jobs v1alpha1.TrainingJobList
		if c.List(ctx, &jobs, client.InNamespace(o.GetNamespace()), client.UnsafeDisableDeepCopy) != nil {
			return nil // the cache is stopping
		}
		var found []reconcile.Request
		for i := range jobs.Items {
			job := &jobs.Items[i]
			scheduled := meta.FindStatusCondition(job.Status.Conditions, v1alpha1.ConditionScheduled)
			if scheduled != nil && scheduled.Reason == v1alpha1.ReasonPodDefaultConflict {
				found = append(found, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(job)})
			}
		}
		return found
	}
}

// decisive lets through changes of an Accelerator that a job may wait for; who uses how many devices changes all the time.
var decisive = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	old, now := e.ObjectOld.(*v1alpha1.Accelerator), e.ObjectNew.(*v1alpha1.Accelerator)
	crowd := accelerator.Strict(now) && !equality.Semantic.DeepEqual(old.Status.ByNamespace, now.Status.ByNamespace)
	return crowd || old.Generation != now.Generation || old.Status.ObservedGeneration != now.Status.ObservedGeneration ||
		!equality.Semantic.DeepEqual(old.Status.Shapes, now.Status.Shapes) || readiness(old) != readiness(now)
}}

func readiness(a *v1alpha1.Accelerator) string {
	ready := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return ""
	}
	return ready.Reason + ready.Message
}
