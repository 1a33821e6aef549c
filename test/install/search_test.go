// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/config/crd"
	"github.com/millrace-ml/millrace/controllers/experiment"
	"github.com/millrace-ml/millrace/controllers/suggestion"
	"github.com/millrace-ml/millrace/controllers/trial"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/offline"
	"github.com/millrace-ml/millrace/internal/study"
	"github.com/millrace-ml/millrace/internal/suggest"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

const (
	searchSpec = `
  objectives: [{metric: loss, direction: Minimize}]
  algorithm: {name: Random}
  parameters: [{name: width, type: Int, min: "1", max: "8"}]
`
	batchJob = `{job: {apiVersion: batch/v1, kind: Job, spec: {template: {spec: {containers: [{name: main, image: i}]}}}}}`
)

// reading is an object as clients read it, and what they are to make of it.
type reading struct {
	object        engine.Owner
	kstatus, argo string
}

// check asks kstatus and Argo CD.
func (r reading) check(t *testing.T, kind string) {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(r.object)
	if err != nil {
		t.Fatal(err)
	}
	got, err := status.Compute(&unstructured.Unstructured{Object: content})
	if err != nil || got.Status.String() != r.kstatus {
		t.Errorf("kstatus says %v (%v), want %s", got, err, r.kstatus)
	}
	if got, message := health(t, healthScriptOf(t, kind), content); got != r.argo || message == "" {
		t.Errorf("Argo CD says %s (%s), want %s", got, message, r.argo)
	}
}

// admitted reads an object as the API server stores it.
func admitted[T engine.Owner](t *testing.T, kind, spec string, into T) T {
	t.Helper()
	schemas, err := offline.Load(crd.FS)
	if err != nil {
		t.Fatal(err)
	}
	given := &unstructured.Unstructured{}
	text := fmt.Sprintf("apiVersion: millrace.dev/v1alpha1\nkind: %s\nmetadata: {name: digits, generation: 1}\nspec: %s", kind, spec)
	if err := yaml.Unmarshal([]byte(text), &given.Object); err != nil {
		t.Fatal(err)
	}
	o, refusal := schemas.Admit(t.Context(), given, "team")
	if !refusal.Empty() {
		t.Fatal(refusal)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, into); err != nil {
		t.Fatal(err)
	}
	into.SetGeneration(1)
	return into
}

func newExperiment(t *testing.T, change func(*v1alpha1.Experiment), worlds ...experiment.World) engine.Owner {
	t.Helper()
	e := admitted(t, experiment.Name, searchSpec+"  maxTrials: 1\n  trialTemplate: "+batchJob, &v1alpha1.Experiment{})
	change(e)
	for _, w := range worlds {
		experiment.Report(e, w, now)
		e.Status.ObservedGeneration = e.Generation
	}
	return e
}

// tried is a Trial of the experiment in a phase.
func tried(phase string, over metav1.ConditionStatus, values ...v1alpha1.MetricValue) []v1alpha1.Trial {
	one := v1alpha1.Trial{ObjectMeta: metav1.ObjectMeta{Name: "digits-1"}, Spec: v1alpha1.TrialSpec{Index: 1, Proposal: 1}}
	one.Status = v1alpha1.TrialStatus{Phase: phase, Metrics: values, Conditions: []metav1.Condition{{Type: "Succeeded", Status: over, Reason: phase}}}
	return []v1alpha1.Trial{one}
}

func TestExperimentStates(t *testing.T) {
	same := func(*v1alpha1.Experiment) {}
	loss := v1alpha1.MetricValue{Name: "loss", Value: "1"}
	for name, r := range map[string]reading{
		"not yet seen":      {newExperiment(t, same), "InProgress", "Progressing"},
		"searching":         {newExperiment(t, same, experiment.World{Searching: true}), "InProgress", "Progressing"},
		"with a trial":      {newExperiment(t, same, experiment.World{Trials: tried("Running", metav1.ConditionUnknown)}), "Current", "Progressing"},
		"that found a best": {newExperiment(t, same, experiment.World{Trials: tried("Succeeded", metav1.ConditionTrue, loss)}), "Current", "Healthy"},
		"that found none":   {newExperiment(t, same, experiment.World{Trials: tried("Failed", metav1.ConditionFalse)}), "Failed", "Degraded"},
		"of a bad search": {newExperiment(t, same, experiment.World{
			Answer: study.Result{Faults: []suggest.Fault{{Path: "algorithm", Message: "it has faults"}}},
		}), "Failed", "Degraded"},
		"without its template": {newExperiment(t, same, experiment.World{Missing: "there is no ConfigMap"}), "Failed", "Degraded"},
		"suspended":            {newExperiment(t, func(e *v1alpha1.Experiment) { e.Spec.Suspend = new(true) }, experiment.World{}), "Current", "Suspended"},
		"changed since": {
			newExperiment(t, func(e *v1alpha1.Experiment) { e.Status.ObservedGeneration, e.Generation = 1, 2 }),
			"InProgress", "Progressing",
		},
	} {
		t.Run(name, func(t *testing.T) { r.check(t, experiment.Name) })
	}
}

func newTrial(t *testing.T, change func(*v1alpha1.Trial), worlds ...trial.World) engine.Owner {
	t.Helper()
	one := admitted(t, trial.Name, "{objectives: [{metric: loss, direction: Minimize}], template: "+batchJob+"}", &v1alpha1.Trial{})
	one.UID = "uid"
	change(one)
	for _, w := range worlds {
		if w.Job != nil {
			w.Job.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(one, v1alpha1.GroupVersion.WithKind(trial.Name))})
		}
		trial.Report(one, w, now)
		one.Status.ObservedGeneration = one.Generation
	}
	return one
}

// job is the job of a trial with a status.
func job(t *testing.T, status string, series map[string]trialjob.Series) trial.World {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte("{apiVersion: batch/v1, kind: Job, status: "+status+"}"), &o.Object); err != nil {
		t.Fatal(err)
	}
	return trial.World{Reading: trial.Read, Job: o, Measured: trialjob.Measured{Drained: true, Series: series}}
}

func TestTrialStates(t *testing.T) {
	same := func(*v1alpha1.Trial) {}
	done, loss := `{conditions: [{type: Complete, status: "True"}]}`, map[string]trialjob.Series{"loss": {Latest: 1}}
	for name, r := range map[string]reading{
		"not yet seen":            {newTrial(t, same), "InProgress", "Progressing"},
		"whose job is to be made": {newTrial(t, same, trial.World{Reading: trial.Read}), "InProgress", "Progressing"},
		"whose job runs":          {newTrial(t, same, job(t, "{active: 1}", nil)), "Current", "Progressing"},
		"that succeeded":          {newTrial(t, same, job(t, done, loss)), "Current", "Healthy"},
		"without a value":         {newTrial(t, same, job(t, done, nil)), "Failed", "Degraded"},
		"that failed":             {newTrial(t, same, job(t, `{conditions: [{type: Failed, status: "True"}]}`, nil)), "Failed", "Degraded"},
		"of a kind not served":    {newTrial(t, same, trial.World{Reading: trial.Unserved}), "Failed", "Degraded"},
		"of a cluster-wide kind":  {newTrial(t, same, trial.World{Reading: trial.ClusterWide}), "Failed", "Degraded"},
		"that was stopped early": {newTrial(t, func(one *v1alpha1.Trial) { one.Spec.Stop = &v1alpha1.TrialStop{Reason: v1alpha1.StopEarly} },
			job(t, "{active: 1}", loss)), "Current", "Healthy"},
	} {
		t.Run(name, func(t *testing.T) { r.check(t, trial.Name) })
	}
}

func TestSuggestionStates(t *testing.T) {
	made := func(spec string, worlds ...suggestion.World) engine.Owner {
		s := admitted(t, suggestion.Name, spec, &v1alpha1.Suggestion{})
		for _, w := range worlds {
			suggestion.Report(s, w, now)
			s.Status.ObservedGeneration = s.Generation
		}
		return s
	}
	search := "\n  count: 1\n  search:" + strings.ReplaceAll(searchSpec, "\n  ", "\n    ")
	one := study.Result{Found: []study.Found{{Proposal: suggest.Proposal{Assignment: suggest.Assignment{"width": "3"}}}}}
	faults := study.Result{Faults: []suggest.Fault{{Path: "algorithm", Message: "it has faults"}}}
	for name, r := range map[string]reading{
		"not yet seen":           {made(search), "InProgress", "Progressing"},
		"searching":              {made(search, suggestion.World{Searching: true}), "InProgress", "Progressing"},
		"with its proposals":     {made(search, suggestion.World{Answer: one}), "Current", "Healthy"},
		"of a bad search":        {made(search, suggestion.World{Answer: faults}), "Failed", "Degraded"},
		"exhausted":              {made(search, suggestion.World{Answer: study.Result{Exhausted: "all were tried"}}), "Failed", "Degraded"},
		"of an experiment":       {made("{experiment: digits}", suggestion.World{}), "Current", "Healthy"},
		"of one that is missing": {made("{experiment: digits}", suggestion.World{Missing: true}), "InProgress", "Progressing"},
	} {
		t.Run(name, func(t *testing.T) { r.check(t, suggestion.Name) })
	}
}
