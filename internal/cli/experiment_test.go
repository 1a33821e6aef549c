// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	conditions "github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/study"
)

// aSearch is an experiment with a trial that is put away, two that have ended and one that runs.
func aSearch() []client.Object {
	labels := map[string]string{names.Experiment: "digits", names.ManagedBy: names.Manager}
	e := &v1alpha1.Experiment{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "digits"}}
	e.Spec.Objectives = []v1alpha1.Objective{{Metric: "loss", Direction: v1alpha1.Minimize}}
	e.Spec.Algorithm.Name, e.Spec.MaxTrials = "TPE", 10
	e.Spec.Parameters = []v1alpha1.Parameter{
		{Name: "lr", Type: v1alpha1.ParameterDouble, Min: "0.01", Max: "1", Distribution: v1alpha1.LogUniform},
		{Name: "solver", Type: v1alpha1.ParameterCategorical, Values: []string{"a<b", "sgd"}},
	}
	e.Status = v1alpha1.ExperimentStatus{
		Phase: v1alpha1.PhaseRunning, Trials: v1alpha1.TrialCounts{Created: 4, Running: new(int32(1)), Succeeded: new(int32(2)), MetricsUnavailable: 1},
		Best: &v1alpha1.BestTrial{Trial: "digits-2", Metrics: []v1alpha1.MetricValue{{Name: "loss", Value: "0.25"}}},
	}
	conditions.Set(e, v1alpha1.ConditionSucceeded, metav1.ConditionUnknown, "InProgress", "Trials are running.")
	page := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "digits-trials-0", Labels: labels}}
	page.Data = map[string]string{study.PageKey: study.Encode([]study.Record{{
		Name: "digits-1", Index: 1, Proposal: 1, Phase: v1alpha1.PhaseSucceeded, Assignment: map[string]string{"lr": "0.1", "solver": "a<b"},
		Metrics: []v1alpha1.MetricValue{{Name: "loss", Value: "0.5"}}, Ended: noon,
	}})}
	objects := []client.Object{e, page}
	for i, loss := range []string{"0.5", "0.25", "NaN", ""} {
		t := &v1alpha1.Trial{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: fmt.Sprintf("digits-%d", i+1), Labels: labels}}
		t.Spec.Proposal, t.Spec.Index = int32(i+1), int32(i+1)
		t.Spec.Assignments = []v1alpha1.Assignment{{Name: "lr", Value: new("0.1")}, {Name: "solver", Value: new("sgd")}}
		t.Status.Phase = v1alpha1.PhaseRunning
		if loss != "" {
			t.Status.Phase = map[bool]string{true: v1alpha1.PhaseMetricsUnavailable, false: v1alpha1.PhaseSucceeded}[loss == "NaN"]
			t.Status.Metrics = []v1alpha1.MetricValue{{Name: "loss", Value: loss}}
			t.Status.CompletionTime = &metav1.Time{Time: noon}
			conditions.Set(t, v1alpha1.ConditionSucceeded, conditions.Truth(loss != "NaN"), "x", "")
		}
		objects = append(objects, t)
	}
	return objects
}

func TestExperimentShowsHowItGoes(t *testing.T) {
	got := call(t, aSearch(), nil, "experiment", "digits", "-n", "team")
	for _, want := range []string{"4/10", "1 running", "2 succeeded", "best   digits-2: loss=0.25", "digits-1", "digits-4", "lr=0.1 solver=sgd", "0.5 |*"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("no %q in:\n%s%s", want, got.out, got.err)
		}
	}
	if got := call(t, aSearch(), nil, "experiment", "-n", "team"); !strings.Contains(got.out, "0.25") {
		t.Errorf("the list is %+v", got)
	}
	if got := call(t, nil, nil, "experiment", "digits", "-n", "team"); got.code != ExitNotFound || !strings.Contains(got.err, "no experiment") {
		t.Errorf("one that is not there: %+v", got)
	}
}

func TestExperimentDraws(t *testing.T) {
	got := call(t, aSearch(), nil, "experiment", "digits", "-n", "team", "-o", "svg")
	decoder, lines := xml.NewDecoder(strings.NewReader(got.out)), 0
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in:\n%s", err, got.out)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "polyline" {
			lines++
		}
	}
	if lines != 2 {
		t.Errorf("%d lines, want one for each of the two trials with a value:\n%s", lines, got.out)
	}
	if got := call(t, aSearch(), nil, "experiment", "digits", "-n", "team", "-o", "html"); strings.Count(got.out, "<tr>") != 5 {
		t.Errorf("want a row for each of four trials, got:\n%s", got.out)
	}
}

func TestExperimentExports(t *testing.T) {
	got := call(t, aSearch(), nil, "experiment", "export", "digits", "-n", "team")
	rows, err := csv.NewReader(strings.NewReader(got.out)).ReadAll()
	if err != nil || len(rows) != 5 || strings.Join(rows[1], ",") != "digits-1,1,Succeeded,,2026-01-01T12:00:00Z,0.1,a<b,0.5" {
		t.Errorf("got %v (%v)", rows, err)
	}
	var records []study.Record
	got = call(t, aSearch(), nil, "experiment", "export", "digits", "-n", "team", "-o", "json")
	if err := json.Unmarshal([]byte(got.out), &records); err != nil || len(records) != 4 {
		t.Errorf("%d records (%v) of:\n%s", len(records), err, got.out)
	}
}
