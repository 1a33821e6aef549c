// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package study

import (
	"cmp"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/suggest"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

// Bounds of what a status holds.
const (
	frontiers = 32
	points    = 32
)

// Summary is what the trials of a search have come to, worked out once.
type Summary struct {
	Study
	// Counts are how many trials there are, Over how many have ended.
	Counts v1alpha1.TrialCounts
	Over   int
	// ended are the records of trials that have ended, in the order in which they did; results those that have a value of every objective:
	// one that was stopped early is among them where it had reached one.
	ended   []*Record
	results []suggest.Trial
	// usage is that of each of Study.Resources.
	usage map[string]Usage
}

// Sum works a summary out.
func (s Study) Sum() Summary {
	order, _ := Order(s.Records)
	sum := Summary{Study: s, Counts: s.count(), Over: len(order), ended: make([]*Record, len(order)), results: make([]suggest.Trial, 0, len(order))}
	for i, k := range order {
		r := &s.Records[k]
		sum.ended[i] = r
		// Their curves are not read: of 10,000 trials that would take longer than all the rest.
		if values := valuesOf(s.Objectives, r.Metrics); values != nil && r.State() != suggest.Failed {
			sum.results = append(sum.results, suggest.Trial{Name: r.Name, State: suggest.Succeeded, Values: values, Finished: len(sum.results) + 1})
		}
	}
	sum.usage = map[string]Usage{}
	for _, resource := range s.Resources {
		sum.usage[resource] = s.used(resource)
	}
	return sum
}

func (s Study) count() v1alpha1.TrialCounts {
	n := map[string]int32{}
	for i := range s.Records {
		n[s.Records[i].Phase]++
	}
	return v1alpha1.TrialCounts{
		Created: int32(len(s.Records)),
		Pending: new(n[v1alpha1.PhasePending] + n[""]), Running: new(n[v1alpha1.PhaseRunning]), Succeeded: new(n[v1alpha1.PhaseSucceeded]),
		EarlyStopped: n[v1alpha1.PhaseEarlyStopped], Failed: new(n[v1alpha1.PhaseFailed] + n[v1alpha1.PhaseRejected]),
		MetricsUnavailable: n[v1alpha1.PhaseMetricsUnavailable], Killed: n[v1alpha1.PhaseKilled],
	}
}

// Failures is how many trials failed or ended without a value.
func (s Summary) Failures() int { return int(*s.Counts.Failed + s.Counts.MetricsUnavailable) }

// Best is the best trial; nil while there is none.
func (s Summary) Best() *v1alpha1.BestTrial {
	best, found := suggest.Best(s.Problem, s.results)
	if !found {
		return nil
	}
	return new(s.best(best.Name))
}

// Pareto are the trials that no other beats in all objectives, of several.
func (s Summary) Pareto() []v1alpha1.BestTrial {
	if len(s.Objectives) < 2 {
		return nil
	}
	var front []v1alpha1.BestTrial
	for _, t := range suggest.Pareto(s.Problem, s.results) {
		if len(front) < frontiers {
			front = append(front, s.best(t.Name))
		}
	}
	return front
}

func (s Summary) best(name string) v1alpha1.BestTrial {
	i := slices.IndexFunc(s.Records, func(r Record) bool { return r.Name == name })
	r := s.Records[i]
	b := v1alpha1.BestTrial{Trial: name, Metrics: r.Metrics}
	for _, p := range s.Problem.Space.Parameters {
		if value, active := r.Assignment[p.Name]; active {
			b.Assignments = append(b.Assignments, v1alpha1.Assignment{Name: p.Name, Value: &value})
		}
	}
	return b
}

// Curve is the best value of the first objective after so many ends, where it became better. When there are too many points the
// oldest are thinned out, and the newest kept.
func (s Summary) Curve() []v1alpha1.CurvePoint {
	var all []trialjob.Point
	objective := s.Problem.Objectives[0]
	for i, t := range s.results {
		value := t.Values[0]
		if math.IsNaN(value) || math.IsInf(value, 0) {
			continue
		}
		if n := len(all); n == 0 || better(objective, value, all[n-1].Value) {
			all = append(all, trialjob.Point{Step: float64(i + 1), Value: value})
		}
	}
	for len(all) > points {
		all = append(thinned(all[:points]), all[points:]...)
	}
	return trialjob.Curve(all)
}

func thinned(all []trialjob.Point) []trialjob.Point {
	var kept []trialjob.Point
	for i, p := range all {
		if i%2 == 0 {
			kept = append(kept, p)
		}
	}
	return kept
}

func better(o suggest.Objective, a, b float64) bool {
	if o.Direction == suggest.Maximize {
		return a > b
	}
	return a < b
}

// Reaches is true when values reach every goal that there is.
func Reaches(objectives []v1alpha1.Objective, metrics []v1alpha1.MetricValue) bool {
	goals := 0
	for _, o := range objectives {
		if o.Goal == "" {
			continue
		}
		goals++
		values := valuesOf([]v1alpha1.Objective{o}, metrics)
		if values == nil || math.IsNaN(values[0]) || math.IsInf(values[0], 0) {
			return false
		}
		if goal := trialjob.Real(o.Goal); values[0] != goal && !better(suggest.Objective{Direction: suggest.Direction(o.Direction)}, values[0], goal) {
			return false
		}
	}
	return goals > 0
}

// AtGoal is the first trial that reached the goals and ended with it.
func (s Summary) AtGoal() (Record, bool) {
	if !slices.ContainsFunc(s.Objectives, func(o v1alpha1.Objective) bool { return o.Goal != "" }) {
		return Record{}, false
	}
	for _, r := range s.ended {
		if r.State() != suggest.Failed && Reaches(s.Objectives, r.Metrics) {
			return *r, true
		}
	}
	return Record{}, false
}

// alike is how many failures in a row tell of a cause that they share.
const alike = 2

// Failure is why the last trials failed, when they failed alike.
func (s Summary) Failure() *v1alpha1.TrialsFailure {
	n, last := int32(0), (*Record)(nil)
	for _, r := range slices.Backward(s.ended) {
		if r.Phase == v1alpha1.PhaseKilled {
			continue
		}
		if last = cmp.Or(last, r); r.State() != suggest.Failed || symptom(r) != symptom(last) {
			break
		}
		n++
	}
	if n < alike {
		return nil
	}
	return &v1alpha1.TrialsFailure{Trials: n, Example: last.Name, Message: last.Message}
}

var digits = regexp.MustCompile(`[0-9][0-9a-f.]*`)

// symptom is a message without what differs from trial to trial.
func symptom(r *Record) string {
	return r.Phase + digits.ReplaceAllString(strings.ReplaceAll(r.Message, r.Name, "TRIAL"), "N")
}

// Lasted is how long the trials that came to an end by themselves took on average, and when the last one ended.
func (s Summary) Lasted() (mean time.Duration, last time.Time) {
	var sum time.Duration
	n := time.Duration(0)
	for _, r := range s.ended {
		if r.Ended.After(last) {
			last = r.Ended
		}
		if !r.Started.IsZero() && r.Ended.After(r.Started) {
			sum += r.Ended.Sub(r.Started)
			n++
		}
	}
	if n == 0 {
		return 0, last
	}
	return sum / n, last
}
