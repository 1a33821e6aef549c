// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package study

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/suggest"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

// Record is what a search keeps of a trial. Its JSON is the line of a page.
type Record struct {
	Name     string `json:"name"`
	Index    int    `json:"index"`
	Proposal int    `json:"proposal"`
	// Follows are proposals that ended before this one was made.
	Follows    []int              `json:"follows,omitempty"`
	Assignment suggest.Assignment `json:"assignment"`
	Labels     map[string]string  `json:"labels,omitempty"`
	Phase      string             `json:"phase"`
	// Metrics are what was measured, the objectives first.
	Metrics []v1alpha1.MetricValue `json:"metrics,omitempty"`
	Curve   []v1alpha1.CurvePoint  `json:"curve,omitempty"`
	Started time.Time              `json:"started,omitzero"`
	Ended   time.Time              `json:"ended,omitzero"`
	// Requests are what its pods requested.
	Requests []v1alpha1.ResourceRequest `json:"requests,omitempty"`
	// Message is why it did not succeed.
	Message string `json:"message,omitempty"`
}

// states are what phases mean to a search.
var states = map[string]suggest.State{
	v1alpha1.PhaseSucceeded: suggest.Succeeded, v1alpha1.PhaseEarlyStopped: suggest.Stopped, v1alpha1.PhaseFailed: suggest.Failed,
	v1alpha1.PhaseMetricsUnavailable: suggest.Failed, v1alpha1.PhaseKilled: suggest.Failed, v1alpha1.PhaseRejected: suggest.Failed,
}

// Over is true when the trial has ended.
func (r Record) Over() bool { return r.State() != suggest.Pending }

// State is what the trial means to a search.
func (r Record) State() suggest.State {
	if s, ended := states[r.Phase]; ended {
		return s
	}
	return suggest.Pending
}

// Ended is true of a Trial whose record is over. The phase alone does not end one.
func Ended(t *v1alpha1.Trial) bool {
	_, ended := states[t.Status.Phase]
	return ended && condition.Decided(t, v1alpha1.ConditionSucceeded)
}

// RecordOf is the record of a Trial.
func RecordOf(t *v1alpha1.Trial) Record {
	r := Record{
		Name: t.Name, Index: int(t.Spec.Index), Proposal: int(t.Spec.Proposal), Assignment: AssignmentOf(t.Spec.Assignments), Labels: t.Spec.Labels,
		Phase: t.Status.Phase, Metrics: t.Status.Metrics, Curve: t.Status.Curve, Requests: t.Status.Requests,
	}
	for _, f := range t.Spec.Follows {
		r.Follows = append(r.Follows, int(f))
	}
	if t.Status.StartTime != nil {
		r.Started = t.Status.StartTime.UTC()
	}
	if !Ended(t) {
		// The phase alone does not end a trial.
		if r.Over() {
			r.Phase = v1alpha1.PhasePending
		}
		return r
	}
	if t.Status.CompletionTime != nil {
		r.Ended = t.Status.CompletionTime.UTC()
	}
	if r.State() == suggest.Failed {
		r.Message = condition.Get(t, v1alpha1.ConditionSucceeded).Message
	}
	return r
}

// AssignmentOf are assignments as a search has them.
func AssignmentOf(list []v1alpha1.Assignment) suggest.Assignment {
	a := suggest.Assignment{}
	for _, one := range list {
		if one.Value != nil {
			a[one.Name] = *one.Value
		}
	}
	return a
}

// Assignments are an assignment as objects have it, in the order of the parameters.
func Assignments(parameters []v1alpha1.Parameter, a suggest.Assignment) []v1alpha1.Assignment {
	var list []v1alpha1.Assignment
	for _, p := range parameters {
		if value, active := a[p.Name]; active {
			list = append(list, v1alpha1.Assignment{Name: p.Name, Value: &value})
		}
	}
	return list
}

// Sorted are the same assignments by name, where the order of the parameters is not at hand.
func Sorted(a suggest.Assignment) []v1alpha1.Assignment {
	var list []v1alpha1.Assignment
	for _, name := range slices.Sorted(maps.Keys(a)) {
		value := a[name]
		list = append(list, v1alpha1.Assignment{Name: name, Value: &value})
	}
	return list
}

// Trial is the record as algorithms see it. Finished orders the ends, 0 for one that they are not to know of.
func (r Record) Trial(objectives []v1alpha1.Objective, finished int) suggest.Trial {
	t := suggest.Trial{Name: r.Name, Assignment: r.Assignment, Labels: r.Labels, State: suggest.Pending}
	if finished == 0 {
		return t
	}
	if t.State, t.Finished = r.State(), finished; t.State == suggest.Stopped {
		t.Curve = CurveOf(r.Curve)
	}
	if t.State == suggest.Succeeded {
		t.Values = valuesOf(objectives, r.Metrics)
	}
	return t
}

// CurveOf is a curve as algorithms see it.
func CurveOf(points []v1alpha1.CurvePoint) []suggest.Point {
	var curve []suggest.Point
	for _, p := range points {
		curve = append(curve, suggest.Point{Step: trialjob.Real(p.Step), Value: trialjob.Real(p.Value)})
	}
	return curve
}

// valuesOf are the values of the objectives; nil when one is missing.
func valuesOf(objectives []v1alpha1.Objective, metrics []v1alpha1.MetricValue) []float64 {
	var values []float64
	for _, o := range objectives {
		i := slices.IndexFunc(metrics, func(m v1alpha1.MetricValue) bool { return m.Name == o.Metric })
		if i < 0 {
			return nil
		}
		values = append(values, trialjob.Real(metrics[i].Value))
	}
	return values
}

// PageKey is the key of the records in the ConfigMap of a page.
const PageKey = "trials.jsonl"

// Encode writes records as a page, one line of JSON for each.
func Encode(records []Record) string {
	var page bytes.Buffer
	for _, r := range records {
		line, err := json.Marshal(r)
		if err != nil {
			panic(fmt.Sprintf("a record that is not JSON: %v", err))
		}
		page.Write(line)
		page.WriteByte('\n')
	}
	return page.String()
}

// MostTrials is the greatest number of a proposal or an index, which also the schema of a Trial has.
const MostTrials = 1 << 20

// Check is what is wrong with the numbers of a record; nil when nothing is. Pages and Trials may be anybody's who can write to the namespace.
func (r Record) Check() error {
	if r.Proposal < 1 || r.Proposal > MostTrials {
		return fmt.Errorf("proposal %d is not in 1 to %d", r.Proposal, MostTrials)
	}
	if r.Index < 0 || r.Index > MostTrials {
		return fmt.Errorf("index %d is not in 0 to %d", r.Index, MostTrials)
	}
	for _, f := range r.Follows {
		if f < 1 || f > MostTrials {
			return fmt.Errorf("follows: %d is not in 1 to %d", f, MostTrials)
		}
	}
	return nil
}

// Decode reads a page. Lines that are no records are left out, and the error says how many, and what is wrong with the first.
func Decode(page string) ([]Record, error) {
	var records []Record
	var first error
	left, number := 0, 0
	for line := range strings.Lines(page) {
		number++
		var r Record
		err := json.Unmarshal([]byte(line), &r)
		if err == nil {
			err = r.Check()
		}
		if err == nil {
			records = append(records, r)
			continue
		}
		if left++; first == nil {
			first = fmt.Errorf("line %d: %w", number, err)
		}
	}
	if left > 0 {
		return records, fmt.Errorf("%d lines are no records: %w", left, first)
	}
	return records, nil
}
