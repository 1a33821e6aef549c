// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"context"
	"slices"

	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/gang"
	"github.com/millrace-ml/millrace/internal/kueue"
)

// Optional are the kinds of optional APIs that jobs make use of where the cluster offers them. A job is woken by what it owns.
var Optional = append(append(gang.Kinds(), gang.Fabrics()...), deviceTaintRule, kueue.WorkloadKind, kueue.FlavorKind, kueue.PriorityKind)

// shared are those of them that no job owns: they wake every job that may wait for them.
var shared = []schema.GroupVersionKind{kueue.FlavorKind, kueue.PriorityKind}

// watchOptional wakes jobs by optional kinds, and by the classes that give priority in a queue.
func watchOptional(b *builder.Builder, mgr ctrl.Manager, optional *engine.Optional) *builder.Builder {
	wakeAll := func(ctx context.Context) []reconcile.Request { return unfinished(ctx, mgr.GetClient(), scheduled) }
	all := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, _ client.Object) []reconcile.Request { return wakeAll(ctx) })
	owner := handler.EnqueueRequestForOwner(mgr.GetScheme(), mgr.GetRESTMapper(), &v1alpha1.TrainingJob{}, handler.OnlyControllerOwner())
	for _, kind := range Optional {
		by := owner
		switch {
		case slices.Contains(shared, kind):
			by = all
		case slices.Contains(gang.Fabrics(), kind):
			by = handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, _ client.Object) []reconcile.Request {
				return unfinished(ctx, mgr.GetClient(), gathering)
			})
		case kind == kueue.WorkloadKind:
			by = handler.EnqueueRequestsFromMapFunc(jobsOfWorkload(mgr.GetClient()))
		}
		b = b.WatchesRawSource(optional.Source(kind, by, wakeAll))
	}
	return b.Watches(&schedulingv1.PriorityClass{}, all)
}

func scheduled(job *v1alpha1.TrainingJob) bool { return job.Spec.Scheduling != nil }

// gathering is true for a job of which it matters how nodes are connected. Schedulers that know it write it down each time a node changes.
func gathering(job *v1alpha1.TrainingJob) bool {
	return scheduled(job) && job.Spec.Scheduling.Topology != nil && job.Spec.Scheduling.Gang != nil
}

// unfinished are the jobs of a sort that may wait for something that is shared.
func unfinished(ctx context.Context, c client.Reader, which func(*v1alpha1.TrainingJob) bool) []reconcile.Request {
	var jobs v1alpha1.TrainingJobList
	if err := c.List(ctx, &jobs, client.UnsafeDisableDeepCopy); err != nil {
		return nil // the cache is not there yet, or no more: every job is looked at when it is
	}
	var requests []reconcile.Request
	for i := range jobs.Items {
		if job := &jobs.Items[i]; which(job) && !ended(job) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(job)})
		}
	}
	return requests
}

// jobsOfWorkload finds the job that a Workload is of; while it is nobody's, those that name it.
func jobsOfWorkload(c client.Reader) handler.MapFunc {
	return func(ctx context.Context, o client.Object) []reconcile.Request {
		if ref := metav1.GetControllerOfNoCopy(o); ref != nil {
			if ref.Kind != Name || ref.APIVersion != v1alpha1.GroupVersion.String() {
				return nil
			}
			return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: o.GetNamespace(), Name: ref.Name}}}
		}
		var jobs v1alpha1.TrainingJobList
		err := c.List(ctx, &jobs, client.InNamespace(o.GetNamespace()), client.MatchingLabels{kueue.PrebuiltLabel: o.GetName()}, client.UnsafeDisableDeepCopy)
		if err != nil {
			return nil // the cache is stopping
		}
		var found []reconcile.Request
		for i := range jobs.Items {
			found = append(found, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&jobs.Items[i])})
		}
		return found
	}
}
