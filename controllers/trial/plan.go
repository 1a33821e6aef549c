// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

// Plan makes the job of a trial, and removes one that is not needed any more. It is pure.
func Plan(t *v1alpha1.Trial, w World, now time.Time) engine.Plan {
	d := decide(t, w, now)
	plan := engine.Plan{Again: d.again}
	if d.make {
		// What it takes was tried by decide.
		if job, err := jobOf(t, w); err == nil {
			plan.Create = []engine.Step{{Object: job}}
		}
	}
	if why := unneeded(t, w, d); why != "" {
		plan.Delete = []engine.Step{{Object: identity(w.Job), Why: why, Reason: reasonJobRemoved}}
	}
	return plan
}

// jobOf is the job of a trial, with what it needs to be measured.
func jobOf(t *v1alpha1.Trial, w World) (*unstructured.Unstructured, error) {
	job, err := trialjob.Render(t)
	if err != nil {
		return nil, err
	}
	return job, trialjob.Instrument(t, job, w.Server)
}

// reasonJobRemoved is of the event that tells that a job was deleted.
const reasonJobRemoved = "JobRemoved"

// identity is of an object what a delete needs.
func identity(o *unstructured.Unstructured) *unstructured.Unstructured {
	id := &unstructured.Unstructured{}
	id.SetGroupVersionKind(o.GroupVersionKind())
	id.SetName(o.GetName())
	id.SetNamespace(o.GetNamespace())
	id.SetUID(o.GetUID())
	return id
}

// unneeded says why the job is to be deleted; empty when it stays.
func unneeded(t *v1alpha1.Trial, w World, d decision) string {
	if w.Job == nil || !d.over || !engine.Owned(w.Job, t.UID) || w.Job.GetDeletionTimestamp() != nil {
		return ""
	}
	switch {
	case !slices.Contains(byItself, d.phase):
		return "the trial is over"
	case goes(t.Spec.Template.Retain, d.phase):
		return "spec.template.retain is " + string(t.Spec.Template.Retain)
	}
	return ""
}

// byItself are the ends that the job came to by itself.
var byItself = []string{v1alpha1.PhaseSucceeded, v1alpha1.PhaseFailed, v1alpha1.PhaseMetricsUnavailable}

// goes is true when a job does not stay after a trial that ended so.
func goes(retain v1alpha1.Retain, phase string) bool {
	return retain == v1alpha1.RetainNever || retain == v1alpha1.RetainFailed && phase != v1alpha1.PhaseFailed
}

// settled is true when a trial is over, and of its job there is nothing left to do.
func settled(t *v1alpha1.Trial) bool {
	stays := slices.Contains(byItself, t.Status.Phase) && !goes(t.Spec.Template.Retain, t.Status.Phase)
	return over(t) && (t.Status.Job == nil || stays)
}
