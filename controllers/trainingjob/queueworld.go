// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/kueue"
)

// queue reads what Kueue says of a job that waits in a queue, or did.
func (o observer) queue(ctx context.Context, c client.Reader, job *v1alpha1.TrainingJob) (kueue.World, error) {
	var w kueue.World
	if queueOf(job) == "" || o.offers == nil || !o.offers.Serves(kueue.WorkloadKind) {
		return w, nil
	}
	found, err := optionalObject[kueue.Workload](ctx, o.offers, kueue.WorkloadKind, client.ObjectKey{Namespace: job.Namespace, Name: workloadName(job)})
	if err != nil {
		return w, err
	}
	_, given := prebuilt(job)
	switch {
	case found == nil:
	case engine.Owned(found, job.UID):
		w.Workload = found
		w.Flavors, err = o.flavors(ctx, found)
		if err == nil && found.Waits() && !suspended(job) {
			w.Ahead, err = o.ahead(ctx, found)
		}
		if err != nil {
			return w, err
		}
	case given:
		w.Prebuilt = found
	}
	if given || ended(job) || admitted(World{Queue: w}) {
		return w, nil
	}
	w.Priority, w.NoClass, err = o.priority(ctx, c, job)
	return w, err
}

// flavors are those that a Workload was given, of those that exist.
func (o observer) flavors(ctx context.Context, w *kueue.Workload) ([]kueue.Flavor, error) {
	var all []kueue.Flavor
	for _, name := range w.FlavorNames() {
		flavor, err := optionalObject[kueue.Flavor](ctx, o.offers, kueue.FlavorKind, client.ObjectKey{Name: name})
		if err != nil {
			return nil, err
		}
		if flavor != nil {
			all = append(all, *flavor)
		}
	}
	return all, nil
}

// ahead counts who stands before a Workload in its queue, whatever they are.
func (o observer) ahead(ctx context.Context, w *kueue.Workload) (*int, error) {
	all := &unstructured.UnstructuredList{}
	all.SetGroupVersionKind(kueue.WorkloadKind.GroupVersion().WithKind(kueue.WorkloadKind.Kind + "List"))
	err := o.offers.List(ctx, all, client.InNamespace(w.Namespace), client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("listing the Workloads of queue %s: %w", w.Spec.QueueName, err)
	}
	return new(w.Ahead(all.Items)), nil
}

// priority is that of the job's Workload: of the WorkloadPriorityClass its label names, of the PriorityClass of its first pod, or of the
// cluster's default. A class that does not exist is named.
func (o observer) priority(ctx context.Context, c client.Reader, job *v1alpha1.TrainingJob) (*kueue.Priority, string, error) {
	if name := job.Labels[kueue.PriorityLabel]; name != "" {
		class := engine.Blank(kueue.PriorityKind)
		err := o.offers.Get(ctx, client.ObjectKey{Name: name}, class)
		if absent(err) {
			return nil, "WorkloadPriorityClass " + name + " of the job's label " + kueue.PriorityLabel, nil
		}
		if err != nil {
			return nil, "", fmt.Errorf("reading the job's WorkloadPriorityClass: %w", err)
		}
		value, _, err := unstructured.NestedInt64(class.Object, "value")
		return &kueue.Priority{Class: classOf(kueue.Group, "WorkloadPriorityClass", name), Value: int32(value)}, "", err
	}
	var classes schedulingv1.PriorityClassList
	if err := c.List(ctx, &classes); err != nil {
		return nil, "", fmt.Errorf("reading priority classes: %w", err)
	}
	return podPriority(job, classes.Items)
}

func podPriority(job *v1alpha1.TrainingJob, classes []schedulingv1.PriorityClass) (*kueue.Priority, string, error) {
	name := priorityClass(job)
	slices.SortFunc(classes, func(a, b schedulingv1.PriorityClass) int { return cmp.Compare(a.Value, b.Value) })
	i := slices.IndexFunc(classes, func(c schedulingv1.PriorityClass) bool { return c.Name == name || name == "" && c.GlobalDefault })
	switch {
	case i >= 0:
		return &kueue.Priority{Class: classOf(schedulingv1.GroupName, "PriorityClass", classes[i].Name), Value: classes[i].Value}, "", nil
	case name != "":
		return nil, "PriorityClass " + name + " of the job's pods", nil
	}
	return nil, "", nil
}

// priorityClass is the PriorityClass of the first role that has one: Kueue knows one for the whole job.
func priorityClass(job *v1alpha1.TrainingJob) string {
	for i := range job.Spec.Roles {
		name := cmp.Or(job.Spec.Roles[i].Template.Spec.PriorityClassName, job.Spec.Scheduling.PriorityClassName)
		if name != "" {
			return name
		}
	}
	return ""
}

func classOf(group, kind, name string) *kueue.PriorityClassRef {
	return &kueue.PriorityClassRef{Group: group, Kind: kind, Name: name}
}

// optionalObject reads an object of an optional kind, nil when it is not there.
func optionalObject[T any](ctx context.Context, c client.Reader, kind schema.GroupVersionKind, key client.ObjectKey) (*T, error) {
	u := engine.Blank(kind)
	err := c.Get(ctx, key, u)
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", kind.Kind, key.Name, err)
	}
	return kueue.Read[T](u)
}

// absent is true for an object that is not there, or whose kind is not.
func absent(err error) bool { return apierrors.IsNotFound(err) || meta.IsNoMatchError(err) }
