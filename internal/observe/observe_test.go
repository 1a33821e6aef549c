// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	nans = cmp.Comparer(func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) })
)

// told is a sample as cases write it.
func told(metric string, value float64) Sample {
	return Sample{Metric: metric, Value: value, At: noon, Step: NoStep}
}

// dict is a filter of Katib's examples.
const dict = `\{metricName: ([\w|-]+), metricValue: ((-?\d+)(\.\d+)?)\}`

func TestText(t *testing.T) {
	both := []string{"loss", "accuracy"}
	own := told("accuracy", 0.5)
	own.At = time.Date(2024, 3, 4, 17, 55, 8, 123456789, time.UTC)
	for name, tc := range map[string]struct {
		line    string
		metrics []string
		filters []string
		want    []Sample
		faults  []Fault
	}{
		"values with and without spaces": {"epoch=3 loss=0.25, accuracy = 9.1e-1", both, nil, []Sample{told("loss", 0.25), told("accuracy", 0.91)}, nil},
		"a sign, no leading digit":       {"loss=-.5 loss=+3", both, nil, []Sample{told("loss", -0.5), told("loss", 3)}, nil},
		"a name is a whole word":         {"val_loss=1 loss-2=2 xaccuracy=3", both, nil, nil, nil},
		"names with dashes":              {"Validation-accuracy=0.8", []string{"Validation-accuracy"}, nil, []Sample{told("Validation-accuracy", 0.8)}, nil},
		"nan is a value":                 {"loss=nan accuracy=NaN", both, nil, []Sample{told("loss", math.NaN()), told("accuracy", math.NaN())}, nil},
		"infinity is a value":            {"loss=-inf accuracy=Infinity", both, nil, []Sample{told("loss", math.Inf(-1)), told("accuracy", math.Inf(1))}, nil},
		"nano is none":                   {"loss=nano", both, nil, nil, []Fault{`loss: "nano" is not a number`}},
		"what is no number is told":      {"accuracy=high loss=", both, nil, nil, []Fault{`accuracy: "high" is not a number`, `loss: "" is not a number`}},
		"out of range is infinite":       {"loss=1e999", both, nil, []Sample{told("loss", math.Inf(1))}, nil},
		"the time of the line":           {"2024-03-04T17:55:08.123456789Z accuracy=0.5", both, nil, []Sample{own}, nil},
		"a filter of one's own":          {"{metricName: accuracy, metricValue: -0.5};{metricName: loss, metricValue: 2}", both, []string{dict}, []Sample{told("accuracy", -0.5), told("loss", 2)}, nil},
		"several filters":                {"loss=1 {metricName: loss, metricValue: 2}", both, []string{DefaultFilter, dict}, []Sample{told("loss", 1), told("loss", 2)}, nil},
		"two filters find one value":     {"loss=1", both, []string{DefaultFilter, `(loss)=(\d+)`}, []Sample{told("loss", 1)}, nil},
		"a filter may hold a semicolon":  {"loss;7", both, []string{`(\w+);(\d+)`}, []Sample{told("loss", 7)}, nil},
		"a group that matches nothing":   {"loss", both, []string{`(loss)(x)?`}, nil, nil},
		"no metric":                      {"Downloading 37%", both, nil, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := New(FormatText, tc.metrics, tc.filters)
			if err != nil {
				t.Fatal(err)
			}
			got, faults := p.Line([]byte(tc.line), noon)
			if diff := cmp.Diff(tc.want, got, nans); diff != "" {
				t.Errorf("samples (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.faults, faults); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
	for filter, want := range map[string]string{`(\w+)=\d+`: "two groups", `(`: "not a regular expression"} {
		if _, err := New(FormatText, both, []string{filter}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the filter %s: %v", filter, err)
		}
	}
	if _, err := New(FormatTensorBoard, both, nil); err == nil {
		t.Error("events have no lines")
	}
}

func TestJSON(t *testing.T) {
	timed := func(at time.Time, step int64) []Sample {
		return []Sample{{Metric: "loss", Value: 0.5, At: at, Step: step}}
	}
	for name, tc := range map[string]struct {
		line string
		want []Sample
		text string // of the fault
	}{
		"a number and a string":         {`{"loss": 0.25, "accuracy": "0.91"}`, []Sample{told("loss", 0.25), told("accuracy", 0.91)}, ""},
		"as Python writes NaN":          {`{"loss": NaN, "note": "NaN, \"Infinity\"", "accuracy": -Infinity}`, []Sample{told("loss", math.NaN()), told("accuracy", math.Inf(-1))}, ""},
		"null is none":                  {`{"loss": null}`, []Sample{told("loss", math.NaN())}, ""},
		"a fraction of a second":        {`{"loss": 0.5, "timestamp": 1638422847.28721}`, timed(time.Unix(1638422847, 287210000), NoStep), ""},
		"the same as a string":          {`{"loss": 0.5, "timestamp": "1638422847.28721"}`, timed(time.Unix(1638422847, 287210000), NoStep), ""},
		"nanoseconds":                   {`{"loss": 0.5, "timestamp": 1638422847.123456789}`, timed(time.Unix(1638422847, 123456789), NoStep), ""},
		"RFC 3339":                      {`{"loss": 0.5, "timestamp": "2021-12-02T05:27:27+01:00", "step": 7}`, timed(time.Date(2021, 12, 2, 4, 27, 27, 0, time.UTC), 7), ""},
		"an exponent":                   {`{"loss": 0.5, "timestamp": 1.5e9}`, timed(time.Unix(1500000000, 0), NoStep), ""},
		"a time that cannot be":         {`{"loss": 0.5, "timestamp": 1e300, "step": -4}`, timed(noon, NoStep), ""},
		"no object":                     {`loss=0.5`, nil, ""},
		"an object of something else":   {`{"message": "loss"}`, nil, ""},
		"a value that is none":          {`{"loss": {"a": 1}}`, nil, "loss: "},
		"a word":                        {`{"loss": "low"}`, nil, `loss: "low" is not a number`},
		"half a line":                   {`{"loss": 0.5, "accu`, nil, "is not JSON"},
		"half a line of something":      {`{"x": 0.5, "y`, nil, ""},
		"more follows after the object": {`{"loss": 0.5} {"loss": 1}`, nil, "is not JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := New(FormatJSON, []string{"loss", "accuracy"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, faults := p.Line([]byte(tc.line), noon)
			if diff := cmp.Diff(tc.want, got, nans); diff != "" {
				t.Errorf("samples (-want +got):\n%s", diff)
			}
			if (tc.text != "") != (len(faults) == 1) || tc.text != "" && !strings.Contains(string(faults[0]), tc.text) {
				t.Errorf("faults %q, want %q", faults, tc.text)
			}
		})
	}
	all, err := New(FormatJSON, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := all.Line([]byte(`{"b": 1, "a": 2, "step": 3, "timestamp": 4}`), noon)
	want := []Sample{{Metric: "a", Value: 2, At: time.Unix(4, 0), Step: 3}, {Metric: "b", Value: 1, At: time.Unix(4, 0), Step: 3}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("every key (-want +got):\n%s", diff)
	}
}

func TestObservation(t *testing.T) {
	at := func(second int, v float64) Sample {
		return Sample{Metric: "loss", Value: v, At: noon.Add(time.Duration(second) * time.Second)}
	}
	nan := math.NaN()
	for name, tc := range map[string]struct {
		samples          []Sample
		min, max, latest float64
		told             bool
	}{
		"nothing":                 {nil, nan, nan, nan, false},
		"one":                     {[]Sample{at(1, 2)}, 2, 2, 2, true},
		"late ones do not count":  {[]Sample{at(3, 2), at(1, 5), at(2, 1)}, 1, 5, 2, true},
		"nan is latest, not best": {[]Sample{at(1, 2), at(2, nan)}, 2, 2, nan, true},
		"never a number":          {[]Sample{at(1, nan), at(2, math.Inf(-1))}, nan, nan, math.Inf(-1), true},
		"of one moment":           {[]Sample{{At: noon, Seq: 1, Value: 7}, {At: noon, Seq: 0, Value: 8}}, 7, 8, 7, true},
	} {
		t.Run(name, func(t *testing.T) {
			o, halves := Nothing("loss"), [2]Observation{Nothing("loss"), Nothing("loss")}
			for i, s := range tc.samples {
				o.Add(s)
				halves[i%2].Add(s)
			}
			halves[0].Merge(halves[1])
			if diff := cmp.Diff(o, halves[0], nans); diff != "" {
				t.Errorf("merged it is another (-whole +merged):\n%s", diff)
			}
			for by, want := range map[Strategy]float64{Min: tc.min, Max: tc.max, Latest: tc.latest} {
				if got, told := o.Value(by); told != tc.told || !cmp.Equal(want, got, nans) {
					t.Errorf("%s is %g, %t, want %g", by, got, told, want)
				}
			}
		})
	}
}

func TestPack(t *testing.T) {
	want := []Sample{told("a", math.NaN()), told("b", math.Inf(-1)), {Metric: "c", Value: 0.1, At: noon.Add(1), Seq: 5, Step: 7}}
	text, err := Pack(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Unpack(text)
	if diff := cmp.Diff(want, got, nans); diff != "" || err != nil {
		t.Errorf("unpacked (-want +got):\n%s%v", diff, err)
	}
	for _, bad := range []string{`{`, `[{"value": "x"}]`} {
		if _, err := Unpack([]byte(bad)); err == nil {
			t.Errorf("%s is samples", bad)
		}
	}
}

func FuzzLine(f *testing.F) {
	for _, line := range []string{
		"loss=0.25 accuracy = 9.1e-1", "loss=nan", `{"loss": NaN, "timestamp": 1638422847.28721}`, `{"loss":"1e999","step":3}`,
		"2024-03-04T17:55:08Z loss=1", `{"loss":1,"timestamp":"-1/0"}`,
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		for _, format := range []Format{FormatText, FormatJSON} {
			p, err := New(format, []string{"loss", "accuracy"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			samples, _ := p.Line([]byte(line), noon)
			again, _ := p.Line([]byte(line), noon)
			if diff := cmp.Diff(samples, again, nans); diff != "" {
				t.Errorf("the second time it is another:\n%s", diff)
			}
			for _, s := range samples {
				if s.Metric != "loss" && s.Metric != "accuracy" || s.At.IsZero() && !strings.Contains(line, "0001-01-01") {
					t.Errorf("%+v was not asked for", s)
				}
			}
		}
	})
}
