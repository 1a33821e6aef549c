// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Kind is what values a setting takes.
type Kind string

// The kinds of settings.
const (
	Whole Kind = "Int"    // a whole number
	Real  Kind = "Float"  // a decimal number
	Enum  Kind = "Enum"   // one of Words
	Text  Kind = "String" // anything
)

// Setting is something a user may say to an algorithm. It has the name that
// users know from Katib, where there is one.
type Setting struct {
	Name    string
	Aliases []string // other names it is accepted by
	Kind    Kind
	Range   Range    // of Whole and Real
	Words   []string // of Enum
	Default string   // empty is unset
	Doc     string   // one sentence
}

// Range is the interval of a number's permitted values; a nil end is open to infinity.
type Range struct {
	Min, Max *float64
	Open     bool // neither end itself is permitted
}

func (r Range) has(v float64) bool {
	if r.Open {
		return (r.Min == nil || v > *r.Min) && (r.Max == nil || v < *r.Max)
	}
	return (r.Min == nil || v >= *r.Min) && (r.Max == nil || v <= *r.Max)
}

// String is the range in words: "at least 1", "between 0 and 1".
func (r Range) String() string {
	least, most, between := "at least %s", "at most %s", "from %s to %s"
	if r.Open {
		least, most, between = "more than %s", "less than %s", "between %s and %s, without the ends"
	}
	switch {
	case r.Min != nil && r.Max != nil:
		return fmt.Sprintf(between, shortest(*r.Min), shortest(*r.Max))
	case r.Min != nil:
		return fmt.Sprintf(least, shortest(*r.Min))
	case r.Max != nil:
		return fmt.Sprintf(most, shortest(*r.Max))
	}
	return "any"
}

// The ranges that settings have.
var positive = Range{Min: new(0.0), Open: true}

func atLeast(v float64) Range        { return Range{Min: &v} }
func between(lo, hi float64) Range   { return Range{Min: &lo, Max: &hi} }
func positiveBelow(hi float64) Range { return Range{Min: new(0.0), Max: &hi, Open: true} }

// called says whether the setting has that name or alias.
func (s Setting) called(n string) bool { return s.Name == n || slices.Contains(s.Aliases, n) }

// fault says what is wrong with a value of the setting; empty is nothing.
func (s Setting) fault(value string) string {
	if rule, ok := kindFaults[s.Kind]; ok {
		return rule(s, value)
	}
	return ""
}

// kindFaults say what is wrong with a value, by the kind of its setting.
var kindFaults = map[Kind]func(s Setting, value string) string{
	Whole: func(s Setting, value string) string {
		if v, err := strconv.ParseInt(value, 10, 64); err != nil || !s.Range.has(float64(v)) {
			return fmt.Sprintf("%q is not a whole number %s", value, s.Range)
		}
		return ""
	},
	Real: func(s Setting, value string) string {
		if v := parse(value); math.IsNaN(v) || math.IsInf(v, 0) || !s.Range.has(v) {
			return fmt.Sprintf("%q is not a number %s", value, s.Range)
		}
		return ""
	},
	Enum: func(s Setting, value string) string {
		if !slices.Contains(s.Words, value) {
			return fmt.Sprintf("%q is not one of %s", value, strings.Join(s.Words, ", "))
		}
		return ""
	},
}

// settings are what a user said, and the defaults of the rest.
type settings map[string]string

func newSettings(rows []Setting, given map[string]string) settings {
	s := settings{}
	for _, row := range rows {
		s[row.Name] = row.Default
		for _, name := range append(slices.Clone(row.Aliases), row.Name) {
			if value, ok := given[name]; ok {
				s[row.Name] = value
			}
		}
	}
	return s
}

func (s settings) has(name string) bool    { return s[name] != "" }
func (s settings) word(name string) string { return s[name] }
func (s settings) float(name string) float64 {
	return parse(s[name])
}

func (s settings) int(name string) int {
	v, _ := strconv.Atoi(s[name])
	return v
}

// randomState is the setting all algorithms with chance in them have.
var randomState = Setting{
	Name: "random_state", Kind: Whole, Range: atLeast(0),
	Doc: "the seed, in place of the experiment's own",
}
