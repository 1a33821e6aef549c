// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"image/color"
	"image/png"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	conditions "github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/study"
	"github.com/millrace-ml/millrace/test/golden"
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
	e.Spec.Budget = []v1alpha1.ResourceHours{{Resource: "cpu", Hours: "9"}, {Resource: "nvidia.com/gpu", Hours: "40"}}
	e.Status.Used = []v1alpha1.ResourceHours{{Resource: "nvidia.com/gpu", Hours: "12.5"}}
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
	for _, want := range []string{"used   12.5 of 40 hours of nvidia.com/gpu", "4/10", "1 running", "2 succeeded", "best   digits-2: loss=0.25", "digits-1", "digits-4", "lr=0.1 solver=sgd", "0.5 |*", "0.25 |  "} {
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
	golden.Compare(t, "testdata/experiment/digits.svg", []byte(got.out))
	if titles := strings.Count(got.out, "<title>"); titles != 3 {
		t.Errorf("%d trials are drawn, want the two with a value and the one without that has ended:\n%s", titles, got.out)
	}
	if got := call(t, aSearch(), nil, "experiment", "digits", "-n", "team", "-o", "html"); strings.Count(got.out, "<tr>") != 5 {
		t.Errorf("want a row for each of four trials, got:\n%s", got.out)
	}
	picture, err := png.Decode(strings.NewReader(call(t, aSearch(), nil, "experiment", "digits", "-n", "team", "-o", "png").out))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[color.Color]bool{}
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			seen[picture.At(x, y)] = true
		}
	}
	for i := range inks {
		if of := colourOf(ink(i)); ink(i) != inkFailed && !seen[of] {
			t.Errorf("nothing is drawn in %s", inks[i].name)
		}
	}
}

// TestNothingOfTheClusterIsMarkup puts markup and commands of a terminal everywhere.
func TestNothingOfTheClusterIsMarkup(t *testing.T) {
	const bad = `"><script>alert(1)</script>&'` + "\x1b[2J"
	e := &v1alpha1.Experiment{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: bad}}
	e.Spec.Objectives = []v1alpha1.Objective{{Metric: bad, Direction: bad}}
	e.Spec.Parameters = []v1alpha1.Parameter{{Name: bad, Values: []string{bad, "b"}}, {Name: "x" + bad, Min: "0", Max: "1"}}
	e.Status = v1alpha1.ExperimentStatus{Phase: bad, Best: &v1alpha1.BestTrial{Trial: bad, Metrics: []v1alpha1.MetricValue{{Name: bad, Value: bad}}}}
	conditions.Set(e, v1alpha1.ConditionSucceeded, metav1.ConditionUnknown, bad, bad)
	s := searched{Experiment: e}
	for i, value := range []string{"1", bad} {
		s.records = append(s.records, study.Record{
			Name: bad, Proposal: i, Phase: []string{v1alpha1.PhaseSucceeded, bad}[i], Assignment: map[string]string{bad: bad, "x" + bad: "0.5"},
			Metrics: []v1alpha1.MetricValue{{Name: bad, Value: value}}, Ended: noon,
		})
	}
	for name, write := range map[string]func(io.Writer, searched) error{
		"svg": writeSVG, "html": writeHTML, "text": (&experiments{lister: lister{Program: program(nil, nil, nil)}}).text,
	} {
		var out strings.Builder
		if err := write(&out, s); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); name != "text" && strings.Contains(got, "<script") || strings.Contains(got, "\x1b") {
			t.Errorf("%s is not safe:\n%s", name, got)
		}
		if !strings.Contains(out.String(), "alert(1)") {
			t.Errorf("%s does not show the texts", name)
		}
		for d := xml.NewDecoder(strings.NewReader(out.String())); name == "svg"; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("svg is no XML: %v", err)
			}
		}
	}
}

func TestScalesFitTheirValues(t *testing.T) {
	minimize := v1alpha1.Objective{Direction: v1alpha1.Minimize}
	for name, c := range map[string]struct {
		o     v1alpha1.Objective
		of    []float64
		want  scale
		ticks []float64
	}{
		"one value":               {minimize, []float64{3}, scale{lo: 3, hi: 3}, []float64{3}},
		"around zero":             {minimize, []float64{-1, math.NaN(), 1}, scale{lo: -1, hi: 1}, []float64{-1, -0.5, 0, 0.5, 1}},
		"far apart":               {minimize, []float64{0.001, 50}, scale{0.001, 50, true}, []float64{0.001, 0.01, 0.1, 1, 10}},
		"one far out":             {minimize, []float64{0, 1, 2, 4, 5, 1e6}, scale{lo: 0, hi: 12}, []float64{0, 2, 4, 6, 8, 10, 12}},
		"one far out, a maximum":  {v1alpha1.Objective{Direction: v1alpha1.Maximize}, []float64{-1e6, 5, 6, 7, 8, 9}, scale{lo: 0, hi: 9}, []float64{0, 2, 4, 6, 8}},
		"near each other":         {minimize, []float64{0.98, 0.99}, scale{lo: 0.98, hi: 0.99}, []float64{0.98, 0.982, 0.984, 0.986, 0.988, 0.99}},
		"but for the last bits":   {minimize, []float64{0.95, 0.9500000000000001}, scale{lo: 0.95, hi: 0.9500000000000001}, []float64{0.95, 0.9500000000000001}},
		"below 0, the last bits":  {minimize, []float64{-3.0000000000000004, -3}, scale{lo: -3.0000000000000004, hi: -3}, []float64{-3.0000000000000004, -3}},
		"an endless span":         {minimize, []float64{-1.5e308, 1.5e308}, scale{lo: -1.5e308, hi: 1.5e308}, []float64{-1.5e308, 1.5e308}},
		"less than a tenfold log": {minimize, []float64{0.02, 2.1}, scale{0.02, 2.1, true}, []float64{0.1, 1}},
	} {
		got, known := scaleFor(c.o, c.of)
		if !known || got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		if diff := cmp.Diff(c.ticks, got.ticks(), cmpopts.EquateApprox(0, 1e-9)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for _, v := range c.of {
			if at := got.at(v); !math.IsNaN(v) && !(at >= 0 && at <= 1) {
				t.Errorf("%s: %v is at %v", name, v, at)
			}
		}
	}
	if _, known := scaleOf([]float64{math.NaN()}); known {
		t.Error("a scale of nothing")
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
