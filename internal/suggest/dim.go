// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
)

// dim is a parameter made ready to be drawn and to be measured.
type dim struct {
	Parameter
	parent   int      // the dimension its condition names, -1 is none
	children []int    // those whose conditions name it
	words    []string // of Discrete, Categorical and Ordinal, in the order of the coordinate
	levels   int      // how many values it has, 0 is a continuum
	decimals int      // of the spelling of a Double that is uniform or has a step
	scale    scale
}

// newDim prepares a parameter without faults.
func newDim(p Parameter) dim {
	d := dim{Parameter: p}
	if listed(p.Type) {
		d.words = words(p)
		d.levels = len(d.words)
		return d
	}
	if p.Type == Int && p.Step == 0 {
		d.Step = 1
	}
	d.levels = levels(p.Min, p.Max, d.Step)
	d.decimals = decimals(d.Parameter)
	if d.levels > 0 && p.Max > p.Min {
		d.Max = parse(strconv.FormatFloat(p.Min+float64(d.levels-1)*d.Step, 'f', d.decimals, 64))
	}
	d.scale = newScale(d.Parameter)
	return d
}

func listed(t Type) bool { return t == Discrete || t == Categorical || t == Ordinal }

// words are the values of a list in the order of the coordinate: numbers by
// size, words as they are given.
func words(p Parameter) []string {
	list := slices.Clone(p.Values)
	if p.Type != Discrete {
		return list
	}
	for i := range list {
		list[i] = spellNumber(list[i])
	}
	slices.SortStableFunc(list, func(a, b string) int { return cmp.Compare(parse(a), parse(b)) })
	return list
}

// levels is how many values a stepped range has; a range of one value needs no step.
func levels(lo, hi, step float64) int {
	if hi <= lo {
		return 1
	}
	if step <= 0 {
		return 0
	}
	return int(math.Floor((hi-lo)/step+1e-9)) + 1
}

// spell is the value at u, in its only spelling.
func (d *dim) spell(u float64) string {
	if d.levels > 0 {
		return d.word(d.level(u))
	}
	return d.format(min(max(d.scale.value(u), d.Min), d.Max))
}

// level is the number of the value at u.
func (d *dim) level(u float64) int {
	if d.words != nil {
		return clip(int(math.Floor(u*float64(d.levels))), d.levels)
	}
	if d.levels == 1 {
		return 0
	}
	return clip(int(math.Round((d.scale.value(u)-d.Min)/d.Step)), d.levels)
}

func clip(k, n int) int { return min(max(k, 0), n-1) }

// word spells value number k of a finite dimension.
func (d *dim) word(k int) string {
	if d.words != nil {
		return d.words[k]
	}
	return d.format(d.Min + float64(k)*d.Step)
}

// centre is the coordinate of value number k of a finite dimension.
func (d *dim) centre(k int) float64 {
	if d.words != nil {
		return (float64(k) + 0.5) / float64(d.levels)
	}
	return d.scale.unit(d.Min + float64(k)*d.Step)
}

// cell is the interval of coordinates that are value number k of a finite dimension.
func (d *dim) cell(k int) (lo, hi float64) {
	if d.words != nil {
		return float64(k) / float64(d.levels), float64(k+1) / float64(d.levels)
	}
	if d.levels == 1 {
		return 0, 1
	}
	v := d.Min + float64(k)*d.Step
	return d.scale.unit(v - d.Step/2), d.scale.unit(v + d.Step/2)
}

// unit is the coordinate of a value; false for one that is not of the parameter.
func (d *dim) unit(value string) (float64, bool) {
	if d.words != nil {
		k := slices.Index(d.words, d.respell(value))
		return d.centre(max(k, 0)), k >= 0
	}
	v, ok := d.number(value)
	slack := 1e-9 * (d.Max - d.Min)
	if !ok || v < d.Min-slack || v > d.Max+slack {
		return 0, false
	}
	return d.scale.unit(v), true
}

// number is a value as arithmetic sees it; false for words.
func (d *dim) number(value string) (float64, bool) {
	if d.Type == Categorical || d.Type == Ordinal || value == "" {
		return 0, false
	}
	v := parse(value)
	return v, !math.IsNaN(v) && !math.IsInf(v, 0)
}

// respell is a value as this package spells it; words stay as they are.
func (d *dim) respell(value string) string {
	if d.Type == Categorical || d.Type == Ordinal || plain(value) {
		return value
	}
	v, ok := d.number(value)
	if !ok {
		return value
	}
	return shortest(v)
}

// plain says whether a text is surely the shortest decimal of a number already:
// most are, and reading and writing them is most of the time that a long history
// takes.
func plain(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	switch {
	case len(digits) > 15, whole == "", point && (fraction == "" || strings.HasSuffix(fraction, "0")):
		return false
	case whole[0] == '0' && (whole != "0" || text == "-0" || strings.HasPrefix(fraction, "00000")):
		return false
	}
	return strings.Trim(whole, "0123456789") == "" && strings.Trim(fraction, "0123456789") == ""
}

// wants says whether this conditional dimension exists when its parent has the value.
func (d *dim) wants(value string, parent *dim) bool {
	for _, w := range d.When.Values {
		if w == value || parent.respell(w) == parent.respell(value) {
			return true
		}
	}
	return false
}

// format spells a number of this dimension. A continuum is spelled to a part in
// ten thousand million of its range (of the value, on a logarithmic scale):
// more digits are noise that makes commands and tables unreadable.
func (d *dim) format(v float64) string {
	if d.Type == Int {
		return strconv.FormatInt(int64(math.Round(v)), 10)
	}
	if d.levels == 1 {
		return shortest(v)
	}
	if d.levels == 0 && d.scale.log {
		v = parse(strconv.FormatFloat(v, 'e', 9, 64))
	} else {
		v = parse(strconv.FormatFloat(v, 'f', d.decimals, 64))
	}
	return shortest(min(max(v, d.Min), d.Max))
}

// decimals is how many digits after the point tell the values of a Double apart.
func decimals(p Parameter) int {
	if p.Step > 0 {
		return max(fraction(p.Min), fraction(p.Step))
	}
	if p.Max <= p.Min {
		return 0
	}
	return min(max(10-int(math.Floor(math.Log10(p.Max-p.Min))), 0), 300)
}

// fraction is how many digits the shortest decimal of v has after the point.
func fraction(v float64) int {
	_, digits, _ := strings.Cut(strconv.FormatFloat(v, 'f', -1, 64), ".")
	return len(digits)
}

// shortest is the shortest decimal that is v, as JSON writes numbers.
func shortest(v float64) string {
	if v == 0 {
		return "0" // not -0
	}
	if size := math.Abs(v); size >= 1e-6 && size < 1e21 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	text := strconv.FormatFloat(v, 'e', -1, 64)
	return strings.NewReplacer("e-0", "e-", "e+0", "e+").Replace(text)
}

// spellNumber is the shortest decimal of a number that somebody wrote.
func spellNumber(text string) string {
	if v := parse(text); !math.IsNaN(v) && !math.IsInf(v, 0) {
		return shortest(v)
	}
	return text
}

// parse is a decimal as a number; NaN for anything else.
func parse(text string) float64 {
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil {
		return math.NaN()
	}
	return v
}
