// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/gang"
	"github.com/millrace-ml/millrace/internal/index"
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
	if ended(job) || placer(job, g, *w).Name != v1alpha1.GangGuard || job.Status.RunningAttempt != nil {
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

// groups reads the objects of a kind that are the job's: of this attempt, and of the one in the status.
func (o observer) groups(ctx context.Context, job *v1alpha1.TrainingJob, g gang.Gang, kind schema.GroupVersionKind, w *World) error {
	row, found := gang.Of(kind)
	if !found {
		return nil
	}
	wanted := []string{row.GroupName(g)}
	if prior := job.Status.Gang; prior != nil && prior.Scheduler == row.Name && prior.Group != "" && prior.Group != wanted[0] {
		wanted = append(wanted, prior.Group)
	}
	for _, name := range wanted {
		group := &unstructured.Unstructured{}
		group.SetGroupVersionKind(kind)
		err := o.offers.Get(ctx, client.ObjectKey{Namespace: job.Namespace, Name: name}, group)
		var gone *meta.NoKindMatchError
		switch {
		case apierrors.IsNotFound(err), errors.As(err, &gone):
		case err != nil:
			return fmt.Errorf("reading %s %s: %w", kind.Kind, name, err)
		case engine.Owned(group, job.UID):
			w.Groups = append(w.Groups, *group)
		}
	}
	return nil
}
