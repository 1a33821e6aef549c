// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"testing"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/test/golden"
)

// planCase is an experiment and what has become of its first trials.
type planCase struct {
	Experiment v1alpha1.Experiment `json:"experiment"`
	// Trials are made before, and come to this; one without a phase goes on.
	Trials []struct {
		Phase string `json:"phase"`
		Loss  string `json:"loss"`
	} `json:"trials"`
	// Suspend suspends the experiment then; Missing is said of its template.
	Suspend bool   `json:"suspend"`
	Missing string `json:"missing"`
}

// outcome is what a case comes to.
type outcome struct {
	Create []any                     `json:"create,omitempty"`
	Patch  []string                  `json:"patch,omitempty"`
	Again  string                    `json:"again,omitempty"`
	Status v1alpha1.ExperimentStatus `json:"status"`
}

func TestPlans(t *testing.T) {
	golden.Cases(t, func(t *testing.T, c *planCase) any { return c.play(t) })
}

func (c *planCase) play(t *testing.T) outcome {
	t.Helper()
	c.Experiment.Namespace, c.Experiment.UID = "team", "uid"
	l := newLife(t, &c.Experiment)
	if len(c.Trials) > 0 {
		l.pass(len(c.Trials))
	}
	for i, one := range c.Trials {
		if name := l.w.Trials[i].Name; one.Phase != "" {
			l.finish(name, one.Phase, one.Loss)
		}
	}
	l.w.Missing, l.e.Spec.Suspend = c.Missing, &c.Suspend
	plan := l.pass(all)
	out := outcome{Status: l.e.Status}
	for _, s := range plan.Create {
		out.Create = append(out.Create, s.Object)
	}
	for _, s := range plan.Patch {
		out.Patch = append(out.Patch, s.Object.GetName()+": "+string(s.Data))
	}
	if plan.Again > 0 {
		out.Again = plan.Again.String()
	}
	return out
}
