// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"math"
	"testing"
)

// curved is a trial whose reports have these values, one a step from 1.
func curved(name string, state State, values ...float64) Trial {
	t := Trial{Name: name, State: state}
	for i, v := range values {
		t.Curve = append(t.Curve, Point{float64(i + 1), v})
	}
	return t
}

func TestStopRules(t *testing.T) {
	nan := math.NaN()
	finished := []Trial{curved("a", Succeeded, 1, 1, 1, 1, 1), curved("b", Succeeded, 2, 2, 2, 2, 2), curved("c", Succeeded, 9, 9, 9, 9, 9)}
	rungs := []Trial{curved("a", Pending, 1, 1), curved("b", Stopped, 2), curved("c", Succeeded, 3, 3, 3, 3), curved("d", Failed, 0)}
	for name, tt := range map[string]struct {
		rule     string
		settings map[string]string
		maximize bool
		own      Trial
		others   []Trial
		want     bool
	}{
		"median: worse":                         {rule: "MedianStop", own: curved("x", Pending, 5, 4, 3, 3), others: finished, want: true},
		"median: as good":                       {rule: "MedianStop", own: curved("x", Pending, 5, 4, 3, 2), others: finished},
		"median: once good":                     {rule: "MedianStop", own: curved("x", Pending, 1, 4, 3, 9), others: finished},
		"median: katib's name":                  {rule: "medianstop", own: curved("x", Pending, 5, 4, 3, 3), others: finished, want: true},
		"median: too early":                     {rule: "MedianStop", own: curved("x", Pending, 5, 4, 3), others: finished},
		"median: too few":                       {rule: "MedianStop", own: curved("x", Pending, 5, 4, 3, 3), others: finished[:2]},
		"median: the greater the better":        {rule: "MedianStop", maximize: true, own: curved("x", Pending, 1, 1, 1, 1), others: finished, want: true},
		"median: a rule of the best third":      {rule: "MedianStop", settings: map[string]string{"percentile": "10"}, own: curved("x", Pending, 2, 2, 2, 2), others: finished, want: true},
		"median: NaN is no value":               {rule: "MedianStop", own: curved("x", Pending, nan, nan, 5, nan, nan), others: finished},
		"median: trials that failed are no bar": {rule: "MedianStop", own: curved("x", Pending, 5, 5, 5, 5), others: append([]Trial{curved("f", Failed, 1, 1, 1, 1)}, finished[1:]...)},
		"ASHA: the first is never stopped":      {rule: "ASHA", own: curved("x", Pending, 9)},
		"ASHA: among the best quarter":          {rule: "ASHA", own: curved("x", Pending, 0.5), others: rungs},
		"ASHA: not among them":                  {rule: "ASHA", own: curved("x", Pending, 1.5), others: rungs, want: true},
		"ASHA: of eta 2 the second best":        {rule: "ASHA", settings: map[string]string{"eta": "2"}, own: curved("x", Pending, 1.5), others: rungs},
		"ASHA: not at the top":                  {rule: "ASHA", settings: map[string]string{"max_resource": "1"}, own: curved("x", Pending, 1.5), others: rungs},
		"ASHA: before its first rung":           {rule: "ASHA", settings: map[string]string{"min_resource": "2"}, own: curved("x", Pending, 9), others: rungs},
		"ASHA: too few at the rung":             {rule: "ASHA", settings: map[string]string{"bootstrap_count": "5"}, own: curved("x", Pending, 9), others: rungs},
		"ASHA: the higher rung by itself":       {rule: "ASHA", own: curved("x", Pending, 0.5, 5, 5, 5), others: rungs, want: true},
		"threshold: above":                      {rule: "Threshold", settings: map[string]string{"upper": "10"}, own: curved("x", Pending, 11), want: true},
		"threshold: within":                     {rule: "Threshold", settings: map[string]string{"upper": "10", "lower": "-1"}, own: curved("x", Pending, 3)},
		"threshold: below, of a maximum":        {rule: "Threshold", maximize: true, settings: map[string]string{"lower": "0.2"}, own: curved("x", Pending, 0.1), want: true},
		"patience: no better":                   {rule: "Patience", settings: map[string]string{"patience": "2"}, own: curved("x", Pending, 1, 2, 1), want: true},
		"patience: better":                      {rule: "Patience", settings: map[string]string{"patience": "2"}, own: curved("x", Pending, 2, 3, 1)},
		"a trial that has ended":                {rule: "Threshold", settings: map[string]string{"upper": "10"}, own: curved("x", Succeeded, 11)},
		"a rule that nobody knows":              {rule: "Whim", own: curved("x", Pending, 11)},
		"a rule with faults":                    {rule: "Threshold", settings: map[string]string{"uper": "10"}, own: curved("x", Pending, 11)},
	} {
		objective := Objective{Direction: Minimize}
		if tt.maximize {
			objective.Direction = Maximize
		}
		got := NewJudge(Rule{tt.rule, tt.settings, objective}, append([]Trial{tt.own}, tt.others...)).Stop(tt.own)
		if got.Stop != tt.want || got.Stop != (got.Why != "") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestFaultsOfRules(t *testing.T) {
	for want, rule := range map[string]Rule{
		`earlyStopping: there is no rule "Whim": use one of MedianStop, ASHA, Threshold, Patience`:           {Name: "Whim"},
		`earlyStopping.settings[start]: unknown: MedianStop has min_trials_required, start_step, percentile`: {Name: "medianstop", Settings: map[string]string{"start": "1"}},
		`earlyStopping.settings[min_trials_required]: "0" is not a whole number at least 1`:                  {Name: "medianstop", Settings: map[string]string{"min_trials_required": "0"}},
		`earlyStopping.settings[eta]: "1" is not a number at least 1.5`:                                      {Name: "ASHA", Settings: map[string]string{"eta": "1"}},
	} {
		if got := texts(ValidateRule(rule)); len(got) != 1 || got[0] != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
