// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"time"
)

// objects reads lines that are JSON objects: {"loss": 0.25, "accuracy": "0.91", "step": 12, "timestamp": 1638422847.28721}.
type objects struct{ metrics []string }

func newJSON(metrics []string) *objects { return &objects{metrics: metrics} }

// bare are the words that Python writes for values JSON does not know.
var bare = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b`)

// Line implements Parser. Lines that are no objects are passed over: a training says other things too. The time is that of the key
// timestamp, RFC 3339 or seconds since 1970, and the step that of the key step.
func (o *objects) Line(line []byte, at time.Time) ([]Sample, []Fault) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] != '{' {
		return nil, nil
	}
	fields, err := decode(line)
	if err != nil {
		return nil, o.broken(line)
	}
	if told, ok := moment(fields["timestamp"]); ok {
		at = told
	}
	var samples []Sample
	var faults []Fault
	metrics := o.metrics
	if metrics == nil {
		metrics = others(fields)
	}
	for _, metric := range metrics {
		raw, there := fields[metric]
		if !there {
			continue
		}
		value, ok := jsonValue(raw)
		if !ok {
			faults = append(faults, unreadable(metric, fmt.Sprint(raw)))
			continue
		}
		samples = append(samples, Sample{Metric: metric, Value: value, At: at, Step: step(fields["step"])})
	}
	return samples, faults
}

// others are the keys that stand for metrics when none is named.
func others(fields map[string]any) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(fields)), func(key string) bool { return key == "timestamp" || key == "step" })
}

// broken tells of a line that seems to hold a metric and is no JSON.
func (o *objects) broken(line []byte) []Fault {
	i := slices.IndexFunc(o.metrics, func(m string) bool { return bytes.Contains(line, []byte(`"`+m+`"`)) })
	if i < 0 {
		return nil
	}
	return []Fault{Fault(fmt.Sprintf("%s: the line %q is not JSON", o.metrics[i], line[:min(len(line), 64)]))}
}

func decode(line []byte) (map[string]any, error) {
	fields, err := object(line)
	if err == nil {
		return fields, nil
	}
	return object(bare.ReplaceAllFunc(line, func(word []byte) []byte {
		if word[0] == '"' {
			return word
		}
		return []byte(`"` + string(word) + `"`)
	}))
}

func object(line []byte) (map[string]any, error) {
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if err := d.Decode(&fields); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, fmt.Errorf("more follows after the object")
	}
	return fields, nil
}

// jsonValue is a number, a string that holds one, or null, which stands for NaN: some encoders write it so.
func jsonValue(raw any) (float64, bool) {
	switch v := raw.(type) {
	case nil:
		return math.NaN(), true
	case json.Number:
		return ParseValue(v.String())
	case string:
		return ParseValue(strings.TrimSpace(v))
	default:
		return 0, false
	}
}

// moment is a time in RFC 3339 or in seconds since 1970, as a string or a number. The fraction is exact to the nanosecond.
func moment(raw any) (time.Time, bool) {
	text, ok := raw.(string)
	if n, isNumber := raw.(json.Number); isNumber {
		text, ok = n.String(), true
	}
	if !ok {
		return time.Time{}, false
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, true
	}
	return seconds(text)
}

// latest is the last second that fits into the nanoseconds of an int64.
const latest = math.MaxInt64 / int64(time.Second)

func seconds(text string) (time.Time, bool) {
	// The exponent of a rational is its size in memory.
	if len(text) > 40 || strings.ContainsAny(text, "/eEpPxXoObB_") {
		return plain(text)
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return time.Time{}, false
	}
	r.Mul(r, big.NewRat(int64(time.Second), 1))
	nanos := new(big.Int).Quo(r.Num(), r.Denom())
	if !nanos.IsInt64() {
		return time.Time{}, false
	}
	return time.Unix(0, nanos.Int64()), true
}

// plain reads a time that is written with an exponent, which no nanoseconds survive.
func plain(text string) (time.Time, bool) {
	v, ok := ParseValue(text)
	if !ok || !finite(v) || math.Abs(v) >= float64(latest) {
		return time.Time{}, false
	}
	whole, fraction := math.Modf(v)
	return time.Unix(int64(whole), int64(fraction*float64(time.Second))), true
}

// step is a whole number from 0, or NoStep.
func step(raw any) int64 {
	n, ok := raw.(json.Number)
	if !ok {
		return NoStep
	}
	v, err := n.Int64()
	if err != nil || v < 0 {
		return NoStep
	}
	return v
}
