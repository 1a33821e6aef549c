// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"fmt"
	"slices"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/study"
	"github.com/millrace-ml/millrace/internal/suggest"
)

// points are the results that the spec has by themselves.
func points(e *v1alpha1.Experiment) []suggest.Trial {
	var known []suggest.Trial
	for i, p := range e.Spec.WarmStart.Points {
		r := study.Record{
			Name: fmt.Sprintf("point-%d", i+1), Assignment: study.AssignmentOf(p.Assignments), Metrics: p.Values, Phase: v1alpha1.PhaseSucceeded,
		}
		known = append(known, r.Trial(e.Spec.Objectives, i+1))
	}
	return known
}

// evidence are the trials of another experiment that have a value of every objective of this one, and its parameters. They had ended
// when this one was made, so that what is known is the same whenever it is asked. A curve is of the first metric there is.
func evidence(e *v1alpha1.Experiment, from string, records []study.Record) []suggest.Trial {
	var known []suggest.Trial
	for _, r := range records {
		t := r.Trial(e.Spec.Objectives, 1)
		if r.Ended.After(e.CreationTimestamp.Time) || t.State != suggest.Succeeded || t.Values == nil || !assigns(e, r.Assignment) {
			continue
		}
		if r.Metrics[0].Name == e.Spec.Objectives[0].Metric {
			t.Curve = study.CurveOf(r.Curve)
		}
		t.Name = from + "/" + t.Name
		known = append(known, t)
	}
	return known
}

// assigns is true when an assignment has every parameter that is always active.
func assigns(e *v1alpha1.Experiment, a suggest.Assignment) bool {
	return !slices.ContainsFunc(e.Spec.Parameters, func(p v1alpha1.Parameter) bool {
		_, assigned := a[p.Name]
		return p.When == nil && !assigned
	})
}
