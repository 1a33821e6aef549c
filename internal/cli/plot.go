// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/study"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

// series is an objective over the trials that have ended, in the order of their ends.
type series struct {
	v1alpha1.Objective
	// values are NaN where a trial has none.
	values []float64
	// best is the best value up to each trial; NaN before the first.
	best []float64
}

func seriesOf(s searched, o v1alpha1.Objective) series {
	of := series{Objective: o}
	order, _ := study.Order(s.records)
	best := math.NaN()
	for _, i := range order {
		v := valueOf(s.records[i], o.Metric)
		if math.IsNaN(best) || (v < best) == (o.Direction == v1alpha1.Minimize) && !math.IsNaN(v) {
			best = v
		}
		of.values, of.best = append(of.values, v), append(of.best, best)
	}
	return of
}

// valueOf is a metric of a trial as a number; NaN where there is no finite one.
func valueOf(r study.Record, metric string) float64 {
	if v := trialjob.Real(metricOf(r, metric)); !math.IsInf(v, 0) {
		return v
	}
	return math.NaN()
}

// scale is where numbers are between two ends.
type scale struct {
	lo, hi float64
	log    bool
}

// decades are how many tenfolds there are in values that are shown by their logarithms.
const decades = 2

// scaleOf has room for all of the numbers; logarithms where they are far apart. It is false when there are none.
func scaleOf(values []float64) (scale, bool) {
	numbers := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(numbers) == 0 {
		return scale{}, false
	}
	lo, hi := slices.Min(numbers), slices.Max(numbers)
	return scale{lo, hi, lo > 0 && hi/lo >= math.Pow(10, decades)}, true
}

// scaleFor has room for the values of an objective, but for those that are so much worse than most that these would look alike.
func scaleFor(o v1alpha1.Objective, values []float64) (scale, bool) {
	s, known := scaleOf(values)
	if !known || s.log {
		return s, known
	}
	numbers := slices.Sorted(slices.Values(slices.DeleteFunc(slices.Clone(values), math.IsNaN)))
	n := len(numbers) - 1
	if o.Direction == v1alpha1.Minimize {
		if most := numbers[n*3/4] - s.lo; most > 0 && s.hi-s.lo > farOut*most {
			s.hi = s.lo + 3*most
		}
	} else if most := s.hi - numbers[n-n*3/4]; most > 0 && s.hi-s.lo > farOut*most {
		s.lo = s.hi - 3*most
	}
	return s, true
}

// farOut is how much further from the best the worst value is than three quarters of them when it is left outside.
const farOut = 20

// outside is how many values are not on the scale.
func (s scale) outside(values []float64) int {
	n := 0
	for _, v := range values {
		if v < s.lo || v > s.hi {
			n++
		}
	}
	return n
}

// at is where a value is, from 0 to 1, at an end when it is outside; in the middle when there is but one, or no number is as long as the scale.
func (s scale) at(v float64) float64 {
	lo, hi := s.lo, s.hi
	if s.log {
		lo, hi, v = math.Log(lo), math.Log(hi), math.Log(v)
	}
	if hi <= lo || math.IsInf(hi-lo, 0) {
		return 0.5
	}
	return min(max((v-lo)/(hi-lo), 0), 1)
}

// ticks are round numbers on the scale, some three to seven of them, and its ends where there are fewer.
func (s scale) ticks() []float64 {
	var found []float64
	if s.log {
		from, to := math.Ceil(math.Log10(s.lo)-1e-9), math.Floor(math.Log10(s.hi)+1e-9)
		for e := from; e <= to; e += math.Ceil((to - from + 1) / 7) {
			found = append(found, math.Pow(10, e))
		}
	} else if s.hi-s.lo > 1e-12*max(math.Abs(s.lo), math.Abs(s.hi)) { // else i++ and i*step stay where they are
		step := math.Pow(10, math.Floor(math.Log10((s.hi-s.lo)/3)))
		for _, more := range []float64{5, 2} {
			if (s.hi-s.lo)/(step*more) >= 3 {
				step *= more
				break
			}
		}
		for i := math.Ceil(s.lo/step - 1e-9); i*step <= s.hi+step*1e-9; i++ {
			found = append(found, i*step+0) // not -0
		}
	}
	if len(found) < 2 {
		return slices.Compact([]float64{s.lo, s.hi})
	}
	return found
}

// figure writes a number in few characters.
func figure(v float64) string { return fmt.Sprintf("%.4g", v) }

// Size of the plot on a terminal. It is as wide as that, within limits; elsewhere it has the lower one.
const (
	plotLeast, plotMost = 60, 120
	plotHeight          = 8
	plotLabels          = 12
)

// terminalPlot draws the best value so far with '*', and those of the trials with '.'; empty when there is nothing to draw.
func terminalPlot(of series, columns int, p painter) string {
	fits, known := scaleFor(of.Objective, of.values)
	if len(of.best) < 2 || !known {
		return ""
	}
	width := min(max(columns-plotLabels-1, plotLeast), plotMost)
	rows := make([][]byte, plotHeight)
	for i := range rows {
		rows[i] = []byte(strings.Repeat(" ", width))
	}
	put := func(values []float64, with byte) {
		for x := range max(width, len(values)) {
			i, column := x, x*(width-1)/max(len(values)-1, 1)
			if len(values) < width {
				i, column = x*(len(values)-1)/(width-1), x
				if with == '.' && x > 0 && i == (x-1)*(len(values)-1)/(width-1) {
					continue // one dot for each trial
				}
			}
			if v := values[i]; !math.IsNaN(v) {
				rows[int((1-fits.at(v))*(plotHeight-1)+0.5)][column] = with
			}
		}
	}
	put(of.values, '.')
	put(of.best, '*')
	labels := map[int]string{0: figure(fits.hi), plotHeight - 1: figure(fits.lo)}
	var out strings.Builder
	for i, row := range rows {
		text := strings.TrimRight(string(row), " ")
		if p {
			text = strings.ReplaceAll(text, ".", p.paint(faint, "."))
		}
		fmt.Fprintf(&out, "%*s |%s\n", plotLabels-2, labels[i], text)
	}
	fmt.Fprintf(&out, "%*s +%s\n%*s%d trials\n", plotLabels-2, map[bool]string{true: "log"}[fits.log], strings.Repeat("-", width), plotLabels, "", len(of.values))
	return out.String()
}

// axis is one of the parallel coordinates.
type axis struct {
	name string
	// place is where a trial is on it, from 0 to 1; false when it has no value there.
	place func(study.Record) (float64, bool)
	ticks []tick
}

// tick is a label on an axis.
type tick struct {
	at    float64
	label string
}

// axesOf are the parameters, and then the objectives that any trial has a value of.
func axesOf(s searched) []axis {
	var axes []axis
	for _, p := range s.Spec.Parameters {
		if len(p.Values) > 0 {
			axes = append(axes, wordAxis(p))
			continue
		}
		read := func(r study.Record) float64 { return trialjob.Real(r.Assignment[p.Name]) }
		fits, known := scaleOf([]float64{trialjob.Real(p.Min), trialjob.Real(p.Max)})
		if p.Min == "" || p.Max == "" {
			fits, known = scaleOf(each(s.records, read))
		}
		fits.log = fits.lo > 0 && slices.Contains([]v1alpha1.Distribution{v1alpha1.LogUniform, v1alpha1.LogNormal}, p.Distribution)
		if known {
			axes = append(axes, numberAxis(p.Name, fits, read))
		}
	}
	for _, o := range s.Spec.Objectives {
		read := func(r study.Record) float64 { return valueOf(r, o.Metric) }
		if fits, known := scaleFor(o, each(s.records, read)); known {
			axes = append(axes, numberAxis(o.Metric+map[bool]string{true: " (min)", false: " (max)"}[o.Direction == v1alpha1.Minimize], fits, read))
		}
	}
	return axes
}

func each(records []study.Record, read func(study.Record) float64) []float64 {
	values := make([]float64, len(records))
	for i, r := range records {
		values[i] = read(r)
	}
	return values
}

// numberAxis has numbers on their own scale.
func numberAxis(name string, fits scale, read func(study.Record) float64) axis {
	a := axis{name: name, place: func(r study.Record) (float64, bool) {
		v := read(r)
		return fits.at(v), !math.IsNaN(v)
	}}
	for _, v := range fits.ticks() {
		a.ticks = append(a.ticks, tick{fits.at(v), figure(v)})
	}
	return a
}

// wordAxis has words in their order, as many of them written as there is room for.
func wordAxis(p v1alpha1.Parameter) axis {
	fits := scale{hi: float64(len(p.Values) - 1)}
	a := axis{name: p.Name, place: func(r study.Record) (float64, bool) {
		i := slices.Index(p.Values, r.Assignment[p.Name])
		return fits.at(float64(i)), i >= 0
	}}
	for i := 0; i < len(p.Values); i += 1 + len(p.Values)/25 {
		label := p.Values[i]
		if shared := sharedStart(p.Values); len([]rune(label)) > mostLabel && shared > 2 {
			label = "…" + label[shared:]
		}
		a.ticks = append(a.ticks, tick{fits.at(float64(i)), cut(label, mostLabel)})
	}
	return a
}

// mostLabel is how many letters of a word there is room for beside an axis.
const mostLabel = 14

// sharedStart is how many bytes all words begin with in common, none of which is part of a letter.
func sharedStart(words []string) int {
	first, n := words[0], len(words[0])
	for _, word := range words[1:] {
		n = min(n, len(word))
		for i := range n {
			if word[i] != first[i] {
				n = i
				break
			}
		}
	}
	for n > 0 && (n == len(first) || !utf8.RuneStart(first[n])) {
		n--
	}
	return n
}
