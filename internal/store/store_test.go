// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/millrace-ml/millrace/internal/observe"
)

var (
	noon  = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	first = Series{Trial{"team", "digits-1", "uid-1"}, "pod/digits-1/main"}
	other = Series{Trial{"team", "digits-2", "uid-2"}, "pod/digits-2/main"}
	nans  = cmp.Comparer(func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) })
)

func at(second int, value float64) observe.Sample {
	return observe.Sample{Metric: "loss", Value: value, At: noon.Add(time.Duration(second) * time.Second), Step: observe.NoStep}
}

// behaviours are what every database does.
var behaviours = map[string]func(*testing.T, *Store, *clocktesting.FakePassiveClock){
	"samples that come twice change nothing": func(t *testing.T, s *Store, _ *clocktesting.FakePassiveClock) {
		told := []observe.Sample{at(1, 0.5), at(2, 0.25), at(3, 0.75)}
		for _, part := range [][]observe.Sample{told[:2], told, told[1:], told} {
			if err := s.Append(t.Context(), first, part); err != nil {
				t.Fatal(err)
			}
		}
		read(t, s, first, 0, told...)
		read(t, s, first, 2, told[1:]...)
		want := observe.Observation{
			Metric: "loss", Count: 3, Min: 0.25, Max: 0.75, Latest: 0.75, LatestAt: told[2].At, LatestStep: observe.NoStep,
		}
		observed(t, s, first.Trial, want)
	},
	"samples of one moment are told apart by their number": func(t *testing.T, s *Store, _ *clocktesting.FakePassiveClock) {
		told := []observe.Sample{at(1, 3), at(1, 2), at(1, 1)}
		observe.Sequencer{}.Number(told)
		for range 2 {
			if err := s.Append(t.Context(), first, told); err != nil {
				t.Fatal(err)
			}
		}
		read(t, s, first, 0, told...)
	},
	"what is no number is kept and is no minimum": func(t *testing.T, s *Store, _ *clocktesting.FakePassiveClock) {
		told := []observe.Sample{at(1, math.Inf(-1)), at(2, 0.5), at(3, math.Inf(1)), at(4, math.NaN())}
		for range 2 {
			if err := s.Append(t.Context(), first, told); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Append(t.Context(), first, append(told[2:4:4], at(5, math.NaN()))); err != nil {
			t.Fatal(err)
		}
		read(t, s, first, 0, append(told, at(5, math.NaN()))...)
		observed(t, s, first.Trial, observe.Observation{
			Metric: "loss", Count: 5, NotFinite: 4, Min: 0.5, Max: 0.5, Latest: math.NaN(), LatestAt: at(5, 0).At, LatestStep: observe.NoStep,
		})
	},
	"sources of a trial are one observation": func(t *testing.T, s *Store, _ *clocktesting.FakePassiveClock) {
		second := Series{first.Trial, "push"}
		for series, sample := range map[Series]observe.Sample{first: at(1, 1), second: at(1, 2)} {
			if err := s.Append(t.Context(), series, []observe.Sample{sample}); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.Observe(t.Context(), first.Trial)
		if err != nil || len(got) != 1 || got[0].Count != 2 || got[0].Min != 1 || got[0].Max != 2 {
			t.Errorf("observed %+v, %v", got, err)
		}
	},
	"names are compared byte by byte": func(t *testing.T, s *Store, _ *clocktesting.FakePassiveClock) {
		told := []observe.Sample{at(1, 1), at(1, 2), at(1, 3)}
		told[1].Metric, told[2].Metric = "Loss", "loss "
		if err := s.Append(t.Context(), first, told); err != nil {
			t.Fatal(err)
		}
		read(t, s, first, 0, told[0])
		got, err := s.Observe(t.Context(), first.Trial)
		if err != nil || len(got) != 3 {
			t.Errorf("observed %+v, %v", got, err)
		}
	},
	"a restart goes on where a source was kept": func(t *testing.T, s *Store, _ *clocktesting.FakePassiveClock) {
		resumes := func(want time.Time) {
			t.Helper()
			got, err := s.Resume(t.Context(), first)
			if err != nil || !got.Equal(want) {
				t.Errorf("resumes at %s, %v, want %s", got, err, want)
			}
		}
		resumes(time.Time{})
		if err := s.AppendAll(t.Context(), []Batch{{first, []observe.Sample{at(5, 1)}}, {other, []observe.Sample{at(9, 1)}}}); err != nil {
			t.Fatal(err)
		}
		resumes(at(5, 0).At)
		for _, second := range []int{7, 6} { // marks may come late
			if err := s.Mark(t.Context(), first, at(second, 0).At); err != nil {
				t.Fatal(err)
			}
		}
		resumes(at(6, 0).At)
	},
	"a trial that is deleted is gone, and another stays": func(t *testing.T, s *Store, _ *clocktesting.FakePassiveClock) {
		for range 2 {
			if err := s.AppendAll(t.Context(), []Batch{{first, []observe.Sample{at(1, 1)}}, {other, []observe.Sample{at(1, 1)}}}); err != nil {
				t.Fatal(err)
			}
			if err := s.Mark(t.Context(), first, noon); err != nil {
				t.Fatal(err)
			}
			if err := s.Delete(t.Context(), first.Trial); err != nil {
				t.Fatal(err)
			}
			read(t, s, first, 0)
			observed(t, s, first.Trial)
			if mark, err := s.Resume(t.Context(), first); !mark.IsZero() || err != nil {
				t.Errorf("a deleted trial resumes at %s, %v", mark, err)
			}
		}
		read(t, s, other, 0, at(1, 1))
	},
	"what not every database can write is nobody's": func(t *testing.T, s *Store, _ *clocktesting.FakePassiveClock) {
		for _, text := range []string{"lo\x00ss", "lo\xffss"} {
			sample := at(1, 1)
			sample.Metric = text
			if err := s.Append(t.Context(), first, []observe.Sample{sample}); !errors.Is(err, ErrInvalid) {
				t.Errorf("metric %q: %v", text, err)
			}
			if err := s.Append(t.Context(), Series{first.Trial, text}, []observe.Sample{at(1, 1)}); !errors.Is(err, ErrInvalid) {
				t.Errorf("source %q: %v", text, err)
			}
		}
	},
	"trials are listed by cluster, by what they told or were read to, until they are forgotten": func(t *testing.T, s *Store, _ *clocktesting.FakePassiveClock) {
		listed := func(after string, most int, want ...Trial) {
			t.Helper()
			got, err := s.Trials(t.Context(), after, most)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("trials after %q: %v (-want +got):\n%s", after, err, diff)
			}
		}
		foreign, silent := Trial{"team", "digits-1", "uid-0"}, Trial{"team", "digits-3", "uid-3"}
		for _, err := range []error{
			s.Append(t.Context(), first, []observe.Sample{at(1, 1)}), s.Append(t.Context(), Series{first.Trial, "again"}, []observe.Sample{at(1, 1)}),
			s.Append(t.Context(), other, []observe.Sample{at(1, 1)}), s.Mark(t.Context(), Series{silent, "log"}, noon),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		s.Cluster = "another"
		for _, trial := range []Trial{foreign, first.Trial} {
			if err := s.Append(t.Context(), Series{trial, "another"}, []observe.Sample{at(1, 1)}); err != nil {
				t.Fatal(err)
			}
		}
		listed("", 9, foreign, first.Trial)
		s.Cluster = "" // not known
		if err := s.Append(t.Context(), Series{Trial{"team", "digits-4", "uid-4"}, "log"}, []observe.Sample{at(1, 1)}); err != nil {
			t.Fatal(err)
		}
		listed("", 9)
		s.Cluster = "home"
		listed("", 2, first.Trial, other.Trial)
		listed("uid-2", 2, silent)
		if err := s.Delete(t.Context(), first.Trial); err != nil {
			t.Fatal(err)
		}
		listed("", 9, other.Trial, silent)
		s.Cluster = "another"
		listed("", 9, foreign, first.Trial) // it is told apart by its cluster too
	},
	"beyond the bounds values count and are not kept": func(t *testing.T, s *Store, _ *clocktesting.FakePassiveClock) {
		s.Limits.PerMetric, s.Limits.PerNamespace, s.Limits.Metrics = 2, 3, 2
		if err := s.Append(t.Context(), first, []observe.Sample{at(1, 3), at(2, 2), at(3, 1)}); err != nil {
			t.Fatal(err)
		}
		if err := s.Append(t.Context(), other, []observe.Sample{at(1, 3), at(2, 2)}); err != nil {
			t.Fatal(err)
		}
		read(t, s, first, 0, at(1, 3), at(2, 2))
		read(t, s, other, 0, at(1, 3))
		observed(t, s, first.Trial, observe.Observation{
			Metric: "loss", Count: 3, Min: 1, Max: 3, Latest: 1, LatestAt: at(3, 0).At, LatestStep: observe.NoStep, Dropped: 1,
		})
		many := []observe.Sample{at(1, 1), at(1, 1), at(1, 1)}
		many[1].Metric, many[2].Metric = "b", "c"
		if err := s.Append(t.Context(), first, many); !errors.Is(err, ErrTooMany) {
			t.Errorf("a third metric: %v", err)
		}
	},
	"what can never be kept is refused": func(t *testing.T, s *Store, _ *clocktesting.FakePassiveClock) {
		nameless, long, ancient := at(1, 1), at(1, 1), at(1, 1)
		nameless.Metric, long.Metric, ancient.At = "", strings.Repeat("x", observe.MaxName+1), time.Time{}
		for _, bad := range []observe.Sample{nameless, long, ancient} {
			if err := s.Append(t.Context(), first, []observe.Sample{at(1, 1), bad}); !errors.Is(err, ErrInvalid) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
		observed(t, s, first.Trial)
	},
	"what is old goes, and then what was silent longest": func(t *testing.T, s *Store, clock *clocktesting.FakePassiveClock) {
		s.Limits.Age, s.Limits.Total = time.Hour, 3
		late := Series{Trial{"team", "digits-3", "uid-3"}, "log"}
		for _, series := range []Series{first, other, late} {
			if err := s.Append(t.Context(), series, []observe.Sample{at(1, 1), at(2, 2)}); err != nil {
				t.Fatal(err)
			}
			clock.SetTime(clock.Now().Add(40 * time.Minute))
		}
		if err := s.Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		observed(t, s, first.Trial)
		observed(t, s, other.Trial)
		clock.SetTime(noon.Add(90 * time.Minute))
		if err := s.Append(t.Context(), first, []observe.Sample{at(1, 1), at(2, 2)}); err != nil {
			t.Fatal(err)
		}
		if err := s.Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		read(t, s, late, 0)
		observed(t, s, late.Trial, observe.Observation{
			Metric: "loss", Count: 2, Min: 1, Max: 2, Latest: 2, LatestAt: at(2, 0).At, LatestStep: observe.NoStep, Dropped: 2,
		})
		read(t, s, first, 0, at(1, 1), at(2, 2))
		if err := s.Mark(t.Context(), Series{other.Trial, "log"}, noon); err != nil {
			t.Fatal(err)
		}
		clock.SetTime(clock.Now().Add(55 * time.Minute)) // of late there is nothing any more
		if err := s.Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Trials(t.Context(), "", 9); err != nil || !cmp.Equal(got, []Trial{first.Trial, other.Trial}) {
			t.Errorf("trials are listed of which there is nothing, or not of which there is: %v, %v", got, err)
		}
	},
	"writers at the same time lose nothing": func(t *testing.T, s *Store, _ *clocktesting.FakePassiveClock) {
		var wait sync.WaitGroup
		for w := range 8 {
			wait.Go(func() {
				for i := range 20 {
					if err := s.Append(t.Context(), first, []observe.Sample{at(w*100+i, float64(w*100+i))}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wait.Wait()
		got, err := s.Observe(t.Context(), first.Trial)
		if err != nil || got[0].Count != 160 || got[0].Max != 719 || got[0].Min != 0 || got[0].Latest != 719 {
			t.Errorf("observed %+v, %v", got, err)
		}
	},
}

func read(t *testing.T, s *Store, series Series, limit int, want ...observe.Sample) {
	t.Helper()
	got, err := s.Read(t.Context(), series.Trial, "loss", limit)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, nans); diff != "" {
		t.Errorf("samples (-want +got):\n%s", diff)
	}
}

func observed(t *testing.T, s *Store, trial Trial, want ...observe.Observation) {
	t.Helper()
	got, err := s.Observe(t.Context(), trial)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, nans); diff != "" {
		t.Errorf("observations (-want +got):\n%s", diff)
	}
}

func TestCheckDSN(t *testing.T) {
	for dsn, want := range map[string]string{
		"sqlite:/var/lib/millrace/metrics.db":                    "",
		"mysql:millrace:secret@tcp(db:3306)/millrace":            "",
		"mysql://millrace:secret@tcp(db:3306)/millrace?tls=true": "",
		"postgres://millrace:secret@db:5432/millrace":            "",
		"postgresql://millrace:secret@db/millrace":               "",
		"":                                    "must begin with",
		"oracle:x":                            "must begin with",
		"sqlite:metrics.db":                   "absolute path",
		"sqlite:/a?mode=memory":               "absolute path",
		"mysql:millrace:secret@tcp(db:3306)":  "mysql: must be followed",
		"mysql:millrace:secret@tcp(db:3306)/": "mysql: must be followed",
		"postgres:db":                         "postgres: must be followed",
		"postgres://u:secret@db:port/x":       "postgres: must be followed",
	} {
		err := CheckDSN(dsn)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", dsn, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error tells the password: %v", dsn, err)
		}
	}
	if Shared("sqlite:/x") || !Shared("mysql:x") {
		t.Error("SQLite is not shared, MySQL is")
	}
}

func TestADatabaseThatCannotBeReachedIsTriedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "volume")
	s, err := Open(t.Context(), "sqlite:"+filepath.Join(dir, "metrics.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := s.Append(t.Context(), first, []observe.Sample{at(1, 1)}); err == nil {
		t.Fatal("a store without a directory keeps samples")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), first, []observe.Sample{at(1, 1)}); err != nil {
		t.Error(err)
	}
}

func BenchmarkAppend(b *testing.B) {
	s, err := Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "metrics.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var batches []Batch
	for i := 0; b.Loop(); i++ {
		batches = batches[:0]
		for k := range 100 {
			series := Series{Trial{"team", "t", string(rune('a' + k))}, "log"}
			batches = append(batches, Batch{series, []observe.Sample{at(i, float64(i))}})
		}
		if err := s.AppendAll(b.Context(), batches); err != nil {
			b.Fatal(err)
		}
	}
}
