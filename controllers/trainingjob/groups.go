// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/gang"
	"github.com/millrace-ml/millrace/internal/index"
	"github.com/millrace-ml/millrace/internal/names"
)

// observeGang reads the objects that stand, or stood, for the gang of a job, and the gangs that wait beside it.
func (o observer) observeGang(ctx context.Context, c client.Reader, job *v1alpha1.TrainingJob, w *World) error {
	layout, known := framework.Resolve(job)
	if !known || gangSpec(job) == nil {
		return nil
	}
	g, _ := gangOf(layout)
	for _, kind := range w.Served {
		if err := o.groups(ctx, job, g, kind, w); err != nil {
			return err
		}
	}
	row := placer(job, g, *w)
	if err := o.fabrics(ctx, job, row, w); err != nil {
		return err
	}
	if ended(job) || row.Name != v1alpha1.GangGuard || job.Status.RunningAttempt != nil {
		return nil
	}
	var jobs v1alpha1.TrainingJobList
	if err := c.List(ctx, &jobs, client.MatchingFields{index.HoldsNodes: index.Yes}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing gangs that wait: %w", err)
	}
	for i := range jobs.Items {
		if rival, waits := rivalOf(&jobs.Items[i]); waits {
			w.Rivals = append(w.Rivals, rival)
		}
	}
	return nil
}

// fabrics reads how nodes are connected, where what places the gang knows it.
func (o observer) fabrics(ctx context.Context, job *v1alpha1.TrainingJob, row gang.Row, w *World) error {
	if ended(job) || job.Spec.Scheduling.Topology == nil || row.Finds == nil || !slices.Contains(w.Served, row.Fabric) {
		return nil
	}
	all := &unstructured.UnstructuredList{}
	all.SetGroupVersionKind(row.Fabric.GroupVersion().WithKind(row.Fabric.Kind + "List"))
	if err := o.offers.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil && !absent(err) {
		return fmt.Errorf("listing %s: %w", row.Fabric.Kind, err)
	}
	w.Fabrics = slices.Clone(all.Items)
	slices.SortFunc(w.Fabrics, func(a, b unstructured.Unstructured) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return nil
}

// groups reads the objects of a kind that are the job's: that of this attempt, and those of earlier ones.
func (o observer) groups(ctx context.Context, job *v1alpha1.TrainingJob, g gang.Gang, kind schema.GroupVersionKind, w *World) error {
	row, found := gang.Of(kind)
	if !found {
		return nil
	}
	if row.PerAttempt && g.Attempt > 0 {
		return o.groupsOfBefore(ctx, job, kind, w)
	}
	name := row.GroupName(g)
	group := &unstructured.Unstructured{}
	group.SetGroupVersionKind(kind)
	err := o.offers.Get(ctx, client.ObjectKey{Namespace: job.Namespace, Name: name}, group)
	switch {
	case absent(err):
	case err != nil:
		return fmt.Errorf("reading %s %s: %w", kind.Kind, name, err)
	case engine.Owned(group, job.UID):
		w.Groups = append(w.Groups, *group)
	}
	return nil
}

// groupsOfBefore reads the groups of all attempts of a job: one of before may end slowly while others come and go.
func (o observer) groupsOfBefore(ctx context.Context, job *v1alpha1.TrainingJob, kind schema.GroupVersionKind, w *World) error {
	all := &unstructured.UnstructuredList{}
	all.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	err := o.offers.List(ctx, all, client.InNamespace(job.Namespace), client.MatchingLabels{names.TrainingJob: job.Name})
	if err != nil && !absent(err) {
		return fmt.Errorf("listing %s of the job: %w", kind.Kind, err)
	}
	slices.SortFunc(all.Items, func(a, b unstructured.Unstructured) int { return cmp.Compare(a.GetName(), b.GetName()) })
	for i := range all.Items {
		if engine.Owned(&all.Items[i], job.UID) {
			w.Groups = append(w.Groups, all.Items[i])
		}
	}
	return nil
}
