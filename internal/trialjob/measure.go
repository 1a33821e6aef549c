// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trialjob

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// Series is what is known of a metric in a trial.
type Series struct {
	Min, Max, Latest float64
	// Curve are values by step, bounded, the last of them always.
	Curve []Point
}

// Point is a value at a step.
type Point struct{ Step, Value float64 }

// Measured is what is known of the metrics of a trial, by their names.
type Measured struct {
	Series map[string]Series
	// Drained is true when no more will come: what the job had written when it ended was read to its end.
	Drained bool
	// Problem says why nothing can be read, for people.
	Problem string
}

// Target is a trial whose metrics are wanted.
type Target struct {
	Trial types.NamespacedName
	UID   types.UID
	// Metrics are the names of the objectives, the first one first, and of the other metrics.
	Metrics   []string
	Collector v1alpha1.MetricsCollector
	// Experiment is the one that the trial is part of.
	Experiment string
	// Labels are those of the pods to read, Chosen when the user said so; Container is empty for the first one.
	Labels    map[string]string
	Chosen    bool
	Container string
	// Pods are all pods of the trial.
	Pods []corev1.Pod
	// Ended is true when the job has ended: what is left is to be read, and then the trial is Drained.
	Ended bool
}

// Meter measures trials: facts from outside the API server. It never waits, and wakes the trial when there is news.
type Meter interface {
	// Follow measures a trial from now on.
	Follow(Target)
	// Measured is what is known of a trial; false when nothing is.
	Measured(types.UID) (Measured, bool)
	// Forget ends the measuring of a trial that is gone or over.
	Forget(types.NamespacedName)
}

// TargetOf is what is to be measured of a trial with this job.
func TargetOf(t *v1alpha1.Trial, job *unstructured.Unstructured, ended bool) Target {
	target := Target{
		Trial: types.NamespacedName{Namespace: t.Namespace, Name: t.Name}, UID: t.UID, Collector: t.Spec.MetricsCollector,
		Experiment: t.Spec.Experiment, Labels: primaryOf(job), Ended: ended,
	}
	if primary := t.Spec.Template.PrimaryPod; primary != nil {
		target.Container = primary.Container
		if len(primary.Labels) > 0 {
			target.Labels, target.Chosen = primary.Labels, true
		}
	}
	target.Metrics = MetricsOf(t)
	return target
}

// MetricsOf are the names of the metrics that are wanted of a trial, those of the objectives first.
func MetricsOf(t *v1alpha1.Trial) []string {
	var all []string
	for _, o := range t.Spec.Objectives {
		all = append(all, o.Metric)
	}
	for _, m := range t.Spec.Metrics {
		if !slices.Contains(all, m.Name) {
			all = append(all, m.Name)
		}
	}
	return all
}

// leaders are the roles of TrainingJobs that tell the metrics, the first that there is.
var leaders = []string{"Master", "Chief", "Launcher", "TunerTracker", "Worker"}

// primaryOf are the labels of the pod of a job that tells the metrics. Of a TrainingJob it is the first pod of the role that leads.
func primaryOf(job *unstructured.Unstructured) map[string]string {
	row, _ := Find(job.GroupVersionKind())
	if job.GetKind() != "TrainingJob" {
		return row.Primary
	}
	roles, _, _ := unstructured.NestedSlice(job.Object, "spec", "roles")
	for _, leader := range leaders {
		for _, r := range roles {
			if role, ok := r.(map[string]any); ok && role["name"] == leader {
				return map[string]string{names.Role: names.Lower(leader), names.Index: "0"}
			}
		}
	}
	return row.Primary
}

// byDirection are the strategies of objectives that name none.
var byDirection = map[v1alpha1.Direction]v1alpha1.Strategy{v1alpha1.Minimize: v1alpha1.StrategyMin, v1alpha1.Maximize: v1alpha1.StrategyMax}

// Values are the values of a trial's metrics that were measured, the objectives first.
func Values(objectives []v1alpha1.Objective, metrics []v1alpha1.Metric, measured Measured) []v1alpha1.MetricValue {
	var values []v1alpha1.MetricValue
	add := func(name string, strategy v1alpha1.Strategy) {
		known := slices.ContainsFunc(values, func(v v1alpha1.MetricValue) bool { return v.Name == name })
		if series, found := measured.Series[name]; found && !known {
			values = append(values, series.value(name, strategy))
		}
	}
	for _, o := range objectives {
		add(o.Metric, cmp.Or(o.Strategy, byDirection[o.Direction]))
	}
	for _, m := range metrics {
		add(m.Name, cmp.Or(m.Strategy, v1alpha1.StrategyLatest))
	}
	return values
}

func (s Series) value(name string, strategy v1alpha1.Strategy) v1alpha1.MetricValue {
	chosen := map[v1alpha1.Strategy]float64{v1alpha1.StrategyMin: s.Min, v1alpha1.StrategyMax: s.Max, v1alpha1.StrategyLatest: s.Latest}[strategy]
	return v1alpha1.MetricValue{Name: name, Value: Number(chosen), Min: Number(s.Min), Max: Number(s.Max), Latest: Number(s.Latest)}
}

// Number writes a real number in the shortest form that is read back as the same.
func Number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// Real reads a real number; what is none is NaN.
func Real(s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

// points is how many of a curve are kept in a status.
const points = 32

// Curve is a curve of at most 32 points: every n-th, and the last.
func Curve(all []Point) []v1alpha1.CurvePoint {
	every := (len(all) + points - 2) / (points - 1)
	var kept []v1alpha1.CurvePoint
	for i, p := range all {
		if i%every == 0 && i < len(all)-1 || i == len(all)-1 {
			kept = append(kept, v1alpha1.CurvePoint{Step: Number(p.Step), Value: Number(p.Value)})
		}
	}
	return kept
}
