// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Rule is an early-stopping rule and its settings.
type Rule struct {
	Name      string // of StopRules
	Settings  map[string]string
	Objective Objective // what the curves are of
}

// Verdict is what a rule says of a trial.
type Verdict struct {
	Stop bool
	Why  string // in a few words; empty unless Stop
}

// StopRule is a way to stop trials early, as users know it.
type StopRule struct {
	Name     string   // as in our API
	Aliases  []string // as in Katib
	Doc      string   // one sentence
	Settings []Setting
	// stop judges a curve that is not empty by the curves of the others. Losses
	// are the smaller the better, and all are finite.
	stop func(set settings, o Objective, own curve, others []rival) Verdict
}

// rival is another trial's curve.
type rival struct {
	curve
	name string
	done bool // it succeeded
}

// curve is the usable points of a trial by their steps.
type curve []Point

var stopRules = []StopRule{
	{
		Name: "MedianStop", Aliases: []string{"medianstop"},
		Doc: "stops a trial whose best value is worse than the median of the finished trials at the same step",
		Settings: []Setting{
			{Name: "min_trials_required", Kind: Whole, Range: atLeast(1), Default: "3", Doc: "how many trials have to succeed first"},
			{Name: "start_step", Kind: Whole, Range: atLeast(1), Default: "4", Doc: "how many values a trial reports before it is judged"},
			{Name: "percentile", Kind: Real, Range: positiveBelow(100), Default: "50", Doc: "the share of the finished trials, best first, that it has to be among"},
		},
		stop: median,
	},
	{
		Name: "ASHA", Aliases: []string{"asha"},
		Doc: "stops a trial that is not among the best 1/eta of those that came as far as it did (asynchronous successive halving)",
		Settings: []Setting{
			{Name: "min_resource", Kind: Real, Range: positive, Default: "1", Doc: "the step of the first rung"},
			{Name: "max_resource", Kind: Real, Range: positive, Doc: "the step from which on nothing is stopped"},
			{Name: "eta", Aliases: []string{"reduction_factor"}, Kind: Real, Range: atLeast(1.5), Default: "4", Doc: "each rung is eta times the step of the one before"},
			{Name: "min_early_stopping_rate", Kind: Whole, Range: between(0, 30), Default: "0", Doc: "how many rungs are left out at the beginning"},
			{Name: "bootstrap_count", Kind: Whole, Range: atLeast(0), Default: "0", Doc: "how many trials come to a rung before it judges"},
		},
		stop: halving,
	},
	{
		Name: "Threshold", Doc: "stops a trial whose last value is out of bounds",
		Settings: []Setting{
			{Name: "lower", Kind: Real, Doc: "the least value allowed"},
			{Name: "upper", Kind: Real, Doc: "the greatest value allowed"},
			{Name: "start_step", Kind: Whole, Range: atLeast(1), Default: "1", Doc: "how many values a trial reports before it is judged"},
		},
		stop: threshold,
	},
	{
		Name: "Patience", Doc: "stops a trial that has not become better for some reports",
		Settings: []Setting{
			{Name: "patience", Kind: Whole, Range: atLeast(1), Default: "10", Doc: "how many reports without improvement are borne"},
			{Name: "min_delta", Kind: Real, Range: atLeast(0), Default: "0", Doc: "what counts as an improvement"},
		},
		stop: patience,
	},
}

// StopRules is every early-stopping rule there is.
func StopRules() []StopRule { return slices.Clone(stopRules) }

// ValidateRule is everything that is wrong with a rule. Paths are
// "earlyStopping" and "earlyStopping.settings[name]".
func ValidateRule(r Rule) []Fault {
	row, ok := findRule(r.Name)
	if !ok {
		known := names(stopRules, func(r StopRule) string { return r.Name })
		return []Fault{{"earlyStopping", fmt.Sprintf("there is no rule %q: use one of %s", r.Name, known)}}
	}
	faults := settingFaults(row.Name, row.Settings, r.Settings)
	for i := range faults {
		faults[i].Path = "earlyStopping." + faults[i].Path
	}
	return faults
}

func findRule(name string) (StopRule, bool) {
	i := slices.IndexFunc(stopRules, func(r StopRule) bool {
		return slices.ContainsFunc(append([]string{r.Name}, r.Aliases...), func(n string) bool { return strings.EqualFold(n, name) })
	})
	if i < 0 {
		return StopRule{}, false
	}
	return stopRules[i], true
}

// Judge is a rule and what the other trials of a search have shown.
type Judge struct {
	rule   Rule
	row    StopRule // none where the rule has faults: it stops nothing
	set    settings
	rivals []rival
}

// NewJudge makes ready to judge by a rule.
func NewJudge(r Rule, trials []Trial) Judge {
	j := Judge{rule: r}
	if len(ValidateRule(r)) > 0 {
		return j
	}
	j.row, _ = findRule(r.Name)
	j.set = newSettings(j.row.Settings, r.Settings)
	for _, o := range trials {
		if c := r.curve(o); len(c) > 0 && o.State != Failed {
			j.rivals = append(j.rivals, rival{c, o.Name, o.State == Succeeded})
		}
	}
	return j
}

// Stop says whether a running trial is to be stopped, given the other trials of
// its search. The answer follows from the curves alone, so that it may be asked
// at any time, after any report, and by a manager that missed some.
func (j Judge) Stop(trial Trial) Verdict {
	own := j.rule.curve(trial)
	if j.row.stop == nil || len(own) == 0 || trial.State != Pending {
		return Verdict{}
	}
	others := j.rivals
	if i := slices.IndexFunc(others, func(r rival) bool { return r.name == trial.Name }); i >= 0 {
		others = slices.Concat(others[:i], others[i+1:])
	}
	return j.row.stop(j.set, j.rule.Objective, own, others)
}

// curve is a trial's usable points as losses, by their steps.
func (r Rule) curve(t Trial) curve {
	c := make(curve, 0, len(t.Curve))
	for _, p := range t.Curve {
		if !math.IsNaN(p.Value) && !math.IsInf(p.Value, 0) && !math.IsNaN(p.Step) {
			c = append(c, Point{p.Step, r.Objective.loss(p.Value)})
		}
	}
	slices.SortStableFunc(c, func(a, b Point) int { return cmp.Compare(a.Step, b.Step) })
	return c
}

// best is the least loss.
func (c curve) best() float64 {
	least := math.Inf(1)
	for _, p := range c {
		least = min(least, p.Value)
	}
	return least
}

// until is the last loss at a step or before; false when there is none.
func (c curve) until(step float64) (float64, bool) {
	value, ok := 0.0, false
	for _, p := range c {
		if p.Step <= step {
			value, ok = p.Value, true
		}
	}
	return value, ok
}

// from is the first loss at a step or after; false when there is none.
func (c curve) from(step float64) (float64, bool) {
	i := slices.IndexFunc(c, func(p Point) bool { return p.Step >= step })
	if i < 0 {
		return 0, false
	}
	return c[i].Value, true
}

func (c curve) last() Point { return c[len(c)-1] }

// median compares the trial's best with what the finished trials had at its step.
func median(set settings, _ Objective, own curve, others []rival) Verdict {
	var at []float64
	for _, o := range others {
		if v, ok := o.until(own.last().Step); ok && o.done {
			at = append(at, v)
		}
	}
	if len(own) < set.int("start_step") || len(at) < set.int("min_trials_required") {
		return Verdict{}
	}
	limit := quantile(at, set.float("percentile")/100)
	if own.best() <= limit {
		return Verdict{}
	}
	return Verdict{true, fmt.Sprintf("worse than the best %s %% of %d finished trials at step %s",
		shortest(set.float("percentile")), len(at), shortest(own.last().Step))}
}

// quantile is the value below which the share q of the values lies, between two
// of them by their distance: a half is the median.
func quantile(values []float64, q float64) float64 {
	s := slices.Sorted(slices.Values(values))
	at := q * float64(len(s)-1)
	i := int(at)
	if i+1 >= len(s) {
		return s[len(s)-1]
	}
	return s[i] + (at-float64(i))*(s[i+1]-s[i])
}

// halving judges the trial at every rung it has come to, by all trials that have
// come there by now.
func halving(set settings, _ Objective, own curve, others []rival) Verdict {
	eta, rung := set.float("eta"), set.float("min_resource")*math.Pow(set.float("eta"), set.float("min_early_stopping_rate"))
	for ; rung <= own.last().Step; rung *= eta {
		if set.has("max_resource") && rung >= set.float("max_resource") {
			break
		}
		value, _ := own.from(rung)
		there, better := 1, 0
		for _, o := range others {
			if v, ok := o.from(rung); ok {
				there++
				better += btoi(v < value)
			}
		}
		if there >= set.int("bootstrap_count") && better >= max(1, int(float64(there)/eta)) {
			return Verdict{true, fmt.Sprintf("%d of %d trials were better at step %s", better, there, shortest(rung))}
		}
	}
	return Verdict{}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// patience looks for the last report that was an improvement.
func patience(set settings, _ Objective, own curve, _ []rival) Verdict {
	best, since := math.Inf(1), 0
	for _, p := range own {
		since++
		if p.Value < best-set.float("min_delta") {
			best, since = p.Value, 0
		}
	}
	if since < set.int("patience") {
		return Verdict{}
	}
	return Verdict{true, fmt.Sprintf("no better for %d reports", since)}
}

// threshold is about the metric itself, whichever way is better.
func threshold(set settings, o Objective, own curve, _ []rival) Verdict {
	v := o.loss(own.last().Value) // a loss of a loss is the value
	if len(own) >= set.int("start_step") && (v < set.float("lower") || v > set.float("upper")) {
		return Verdict{true, fmt.Sprintf("%s is out of bounds", shortest(v))}
	}
	return Verdict{}
}
