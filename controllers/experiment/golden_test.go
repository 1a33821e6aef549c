// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

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
	files, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".in.yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var c planCase
			if err := yaml.UnmarshalStrict(text, &c); err != nil {
				t.Fatal(err)
			}
			out, err := yaml.Marshal(c.play(t))
			if err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, strings.Replace(file, ".in.", ".want.", 1), out)
		})
	}
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
