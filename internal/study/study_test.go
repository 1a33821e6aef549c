// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package study

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/suggest"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// ended is a record of a trial that ended so many minutes after noon with these values of loss and cost.
func ended(proposal, minute int, phase string, values ...string) Record {
	r := Record{
		Name: fmt.Sprintf("t-%d", proposal), Index: proposal, Proposal: proposal, Phase: phase, Assignment: suggest.Assignment{"x": "0.5"},
		Started: noon, Ended: noon.Add(time.Duration(minute) * time.Minute),
	}
	for i, v := range values {
		r.Metrics = append(r.Metrics, v1alpha1.MetricValue{Name: []string{"loss", "cost"}[i], Value: v})
	}
	return r
}

func studyWith(t *testing.T, objectives int, records ...Record) Study {
	t.Helper()
	search := v1alpha1.Search{
		Objectives: []v1alpha1.Objective{{Metric: "loss", Direction: v1alpha1.Minimize}, {Metric: "cost", Direction: v1alpha1.Minimize}}[:objectives],
		Algorithm:  v1alpha1.Algorithm{Name: "TPE"},
		Parameters: []v1alpha1.Parameter{{Name: "x", Type: v1alpha1.ParameterDouble, Min: "0", Max: "1"}},
	}
	p, faults := ProblemOf(search, "team", "t")
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return Study{Problem: p, Objectives: search.Objectives, Records: records, Parallel: 2}
}

// TestTheOrderThatIsSettledStays, although clocks say something else, and whoever ended later comes after it.
func TestTheOrderThatIsSettledStays(t *testing.T) {
	third := ended(3, 9, v1alpha1.PhaseSucceeded, "1")
	third.Follows = []int{2, 1, 2}
	got, settled := Order([]Record{ended(1, 1, v1alpha1.PhaseSucceeded, "1"), ended(2, 5, v1alpha1.PhaseFailed), third, ended(4, 3, v1alpha1.PhaseKilled), {Proposal: 5}})
	if want := []int{1, 0, 3, 2}; !slices.Equal(got, want) || settled != 2 {
		t.Errorf("got %v of which %d are settled, want %v and 2", got, settled, want)
	}
}

// TestABatchIsItsProposalsOneByOne: whoever asks for two at once, and whoever is killed between the two, has the same search.
func TestABatchIsItsProposalsOneByOne(t *testing.T) {
	var records []Record
	for i := range 15 {
		records = append(records, ended(i+1, i, v1alpha1.PhaseSucceeded, fmt.Sprint(i%7)))
	}
	never := func() bool { return false }
	s := studyWith(t, 1, records...)
	batch := s.Next(2, never)
	if len(batch.Found) != 2 || batch.From != 15 {
		t.Fatalf("got %+v", batch)
	}
	first := s.Next(1, never)
	s.Records = append(s.Records, Record{
		Name: "t-16", Index: 16, Proposal: 16, Assignment: first.Found[0].Assignment, Labels: first.Found[0].Labels, Follows: first.Found[0].Follows,
	})
	second := s.Next(1, never)
	if diff := gocmp.Diff(batch.Found, append(first.Found, second.Found...)); diff != "" {
		t.Errorf("they differ:\n%s", diff)
	}
	if s.Next(1, func() bool { return true }).Found != nil {
		t.Error("a search that nobody wants proposes")
	}
}

func TestWhatASearchHasFound(t *testing.T) {
	s := studyWith(t, 2,
		ended(1, 1, v1alpha1.PhaseSucceeded, "3", "1"), ended(2, 2, v1alpha1.PhaseSucceeded, "1", "3"), ended(3, 3, v1alpha1.PhaseSucceeded, "3", "3"),
		ended(4, 4, v1alpha1.PhaseFailed, "0", "0"), ended(5, 5, v1alpha1.PhaseSucceeded, "NaN", "0"), ended(6, 6, v1alpha1.PhaseEarlyStopped, "2", "2"),
		ended(7, 7, v1alpha1.PhaseSucceeded, "1", "3"), ended(8, 8, v1alpha1.PhaseSucceeded, "0.5"))
	if best := s.Sum().Best(); best == nil || best.Trial != "t-2" {
		t.Errorf("the best is %+v, want t-2: of equals the first, and none that failed, is NaN, or lacks a value", best)
	}
	var front []string
	for _, b := range s.Sum().Pareto() {
		front = append(front, b.Trial)
	}
	if got := strings.Join(front, " "); got != "t-2 t-6 t-1" {
		t.Errorf("the front is %s", got)
	}
	var curve []string
	for _, p := range s.Sum().Curve() {
		curve = append(curve, p.Step+":"+p.Value)
	}
	if got := strings.Join(curve, " "); got != "1:3 2:1" {
		t.Errorf("the curve is %s", got)
	}
}

func TestPagesAreReadAsTheyWereWritten(t *testing.T) {
	records := []Record{ended(1, 1, v1alpha1.PhaseSucceeded, "3"), {Name: "t-2", Proposal: 2, Assignment: suggest.Assignment{"x": "1\n\"2"}, Follows: []int{1}}}
	got, err := Decode(Encode(records))
	if diff := gocmp.Diff(records, got); err != nil || diff != "" {
		t.Errorf("%v:\n%s", err, diff)
	}
	if _, err := Decode("{}\n{"); err == nil {
		t.Error("half a page is read")
	}
}

func TestFailuresAreAlikeButForNamesAndNumbers(t *testing.T) {
	failed := func(proposal int, message string) Record {
		r := ended(proposal, proposal, v1alpha1.PhaseFailed)
		r.Message = message
		return r
	}
	s := studyWith(t, 1, failed(1, "out of disk"), failed(2, "pod t-2-x1: exit code 1: no CUDA"), ended(3, 3, v1alpha1.PhaseKilled), failed(4, "pod t-4-x7: exit code 1: no CUDA"))
	if f := s.Sum().Failure(); f == nil || f.Trials != 2 || f.Example != "t-4" {
		t.Errorf("got %+v, want the last two", f)
	}
	s.Records = append(s.Records, ended(5, 5, v1alpha1.PhaseSucceeded, "1"))
	if f := s.Sum().Failure(); f != nil {
		t.Errorf("got %+v after a success", f)
	}
}

// FuzzDecode: whatever a page has, what is read of it can be counted with, and written again.
func FuzzDecode(f *testing.F) {
	for _, line := range []string{"", "{}", `{"proposal":300000000000}`, `{"proposal":-1}`, `{"proposal":2,"follows":[0]}`, `{"proposal":1,"requests":[{"resource":"cpu","quantity":"-1"}]}`} {
		f.Add(line + "\n" + Encode([]Record{ended(1, 1, v1alpha1.PhaseSucceeded, "1")}))
	}
	f.Fuzz(func(t *testing.T, page string) {
		records, err := Decode(page)
		for _, r := range records {
			if wrong := r.Check(); wrong != nil {
				t.Fatal(wrong)
			}
		}
		again, wrong := Decode(Encode(records))
		if wrong != nil || len(again) != len(records) || err == nil && len(records) < strings.Count(page, "\n") {
			t.Fatalf("%d records, then %d (%v, %v)", len(records), len(again), err, wrong)
		}
	})
}
