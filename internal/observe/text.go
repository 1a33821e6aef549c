// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DefaultFilter finds name=value, as in "epoch 3: loss=0.25 accuracy = 9.1e-1". It is the one of Katib.
const DefaultFilter = `([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)`

// noNumber is what follows where a filter that knows digits only ended at a value that is none. Frameworks write it so.
var noNumber = regexp.MustCompile(`^[+-]?(?i:nan|infinity|inf)\b`)

// text reads lines by regular expressions, whose first group is a metric's name and whose second is its value.
type text struct {
	metrics []string
	words   [][]byte
	filters []*regexp.Regexp
}

func newText(metrics, filters []string) (*text, error) {
	if len(filters) == 0 {
		filters = []string{DefaultFilter}
	}
	t := &text{metrics: metrics}
	for _, m := range metrics {
		t.words = append(t.words, []byte(m))
	}
	for _, f := range filters {
		re, err := regexp.Compile(f)
		if err != nil {
			return nil, fmt.Errorf("the filter %q is not a regular expression: %w", f, err)
		}
		if re.NumSubexp() < 2 {
			return nil, fmt.Errorf("the filter %q needs two groups, the name and the value of a metric, such as %s", f, DefaultFilter)
		}
		t.filters = append(t.filters, re)
	}
	return t, nil
}

// Line implements Parser. What two filters find at the same place is one sample.
func (t *text) Line(line []byte, at time.Time) ([]Sample, []Fault) {
	// Most lines hold no metric, and regular expressions are slow.
	if !slices.ContainsFunc(t.words, func(w []byte) bool { return bytes.Contains(line, w) }) {
		return nil, nil
	}
	if told, ok := leading(line); ok {
		at = told
	}
	var samples []Sample
	var faults []Fault
	var seen []int
	for _, filter := range t.filters {
		for _, m := range filter.FindAllSubmatchIndex(line, -1) {
			name, ok := t.wanted(line, m)
			if !ok || slices.Contains(seen, m[4]) {
				continue
			}
			seen = append(seen, m[4])
			value, ok := number(string(line[m[4]:m[5]]), line[m[5]:])
			if !ok {
				faults = append(faults, unreadable(name, rest(line[m[4]:])))
				continue
			}
			samples = append(samples, Sample{Metric: name, Value: value, At: at, Step: NoStep})
		}
	}
	return samples, faults
}

// wanted is the metric that a match names.
func (t *text) wanted(line []byte, m []int) (string, bool) {
	if m[2] < 0 || m[4] < 0 {
		return "", false
	}
	name := strings.TrimSpace(string(line[m[2]:m[3]]))
	return name, slices.Contains(t.metrics, name)
}

// number is a value as a filter found it, or the nan or inf that follows.
func number(found string, after []byte) (float64, bool) {
	found = strings.TrimSpace(found)
	if found == "" || found == "+" || found == "-" {
		found += string(noNumber.Find(after))
	}
	return ParseValue(found)
}

// ParseValue is the number in a text; nan, inf and infinity, with a sign or without, in any case, are numbers too. False when it is none.
func ParseValue(text string) (float64, bool) {
	v, err := strconv.ParseFloat(text, 64)
	// A number out of range is infinite, which is as near as can be.
	return v, err == nil || math.IsInf(v, 0)
}

// leading is the time in RFC 3339 with which a line begins.
func leading(line []byte) (time.Time, bool) {
	line = bytes.TrimLeft(line, " \t")
	// The shortest is 2006-01-02T15:04:05Z.
	if len(line) < 20 || line[4] != '-' || line[10] != 'T' {
		return time.Time{}, false
	}
	word, _, _ := bytes.Cut(line, []byte(" "))
	at, err := time.Parse(time.RFC3339Nano, string(word))
	return at, err == nil
}

// rest is the beginning of what could not be read.
func rest(text []byte) string {
	word, _, _ := strings.Cut(string(text[:min(len(text), 32)]), " ")
	return word
}

func unreadable(metric, text string) Fault {
	return Fault(fmt.Sprintf("%s: %q is not a number", metric, text))
}
