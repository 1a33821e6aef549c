// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/millrace-ml/millrace/internal/observe"
	"github.com/millrace-ml/millrace/internal/store"
)

func TestWorkersAreBounded(t *testing.T) {
	c, s := newCluster(t), database(t)
	opts := quick()
	opts.Workers = 3
	collector, _ := run(t, s, c, opts)
	wanted := map[store.Trial]Target{}
	for i := range 10 {
		key := store.Trial{Namespace: "team", Name: fmt.Sprintf("t-%d", i), UID: fmt.Sprint(i)}
		target := follow
		target.Pod, target.PodUID = key.Name, key.Name
		c.say(key.Name, 0, "loss=%d", i)
		collector.Want(key, target)
		wanted[key] = target
	}
	streams := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.open
	}
	eventually(t, "as many as may be are followed", func() bool { return streams() == 3 })
	for key, target := range wanted {
		c.change(func(logs map[string]*podLog) { logs[target.Pod].ended = true })
		target.Ended = true
		collector.Want(key, target)
	}
	for key := range wanted {
		eventually(t, "all are read", func() bool { return collector.Snapshot(key).Drained })
	}
	if c.most > 3 {
		t.Errorf("%d logs were followed at once, of at most 3", c.most)
	}
}

func TestATrialOfTheSameNameBeginsAnew(t *testing.T) {
	c, s := newCluster(t), database(t)
	collector, _ := run(t, s, c, quick())
	push := Target{Kind: Push, Metrics: []string{"loss"}}
	sample := observe.Sample{Metric: "loss", Value: 1, At: noon, Step: observe.NoStep}
	collector.Want(digits, push)
	if err := collector.Accept(t.Context(), store.Series{Trial: digits, Source: "a"}, []observe.Sample{sample}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a value", count(collector, 1))
	next := digits
	next.UID = "uid-9"
	collector.Want(next, push)
	eventually(t, "the store is read", func() bool { return collector.Snapshot(next).Known })
	if got := collector.Snapshot(next); len(got.Curves) != 0 || collector.Snapshot(digits).Known {
		t.Errorf("it begins with %+v", got)
	}
	push.Ended = true
	collector.Want(next, push)
	eventually(t, "the end", func() bool { return collector.Snapshot(next).Drained })
}

func TestNewsWakeATrialOnce(t *testing.T) {
	c, s := newCluster(t), database(t)
	opts := quick()
	opts.Pace = 50 * time.Millisecond
	collector, _ := run(t, s, c, opts)
	q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer q.ShutDown()
	if err := collector.Source().Start(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	collector.Want(digits, follow)
	for i := range 100 {
		c.say("digits-1", time.Duration(i), "loss=%d", i)
	}
	eventually(t, "all values", count(collector, 100))
	request, _ := q.Get()
	if request.NamespacedName != name(digits) {
		t.Errorf("%s was woken", request)
	}
	q.Done(request)
	if n := q.Len(); n > 1 {
		t.Errorf("%d more are to be woken", n)
	}
}

func TestCurvesAreThinned(t *testing.T) {
	drawn := &curve{Observation: observe.Nothing("loss")}
	for i := range 1000 {
		drawn.add(observe.Sample{Metric: "loss", Value: float64(i), At: noon.Add(time.Duration(i))}, 8)
	}
	got := drawn.drawn()
	if len(got.Points) > 9 || len(got.Points) < 5 || got.Points[0].Value != 0 || got.Points[len(got.Points)-1].Value != 999 || got.Count != 1000 {
		t.Errorf("the curve is %+v", got)
	}
	if !slices.IsSortedFunc(got.Points, func(a, b Point) int { return a.At.Compare(b.At) }) {
		t.Error("points are not in the order of time")
	}
}

func TestEndpointsAreScraped(t *testing.T) {
	c, s := newCluster(t), database(t)
	var asked atomic.Int32
	status, elsewhere := atomic.Int32{}, atomic.Int32{}
	status.Store(http.StatusOK)
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		if status.Load() == http.StatusFound {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		w.WriteHeader(int(status.Load()))
		_, _ = fmt.Fprintf(w, "loss %d\n", n)
	})
	mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	server := httptest.NewServer(mux)
	defer server.Close()
	collector, _ := run(t, s, c, quick())
	target := Target{Kind: Scrape, Pod: "digits-1", Metrics: []string{"loss"}, URL: server.URL + "/metrics", Interval: time.Second}
	collector.Want(digits, target)
	eventually(t, "a value", count(collector, 1))
	status.Store(http.StatusFound)
	target.Interval = 2 * time.Second // news: it is asked at once
	collector.Want(digits, target)
	eventually(t, "a fault", func() bool { return strings.Contains(collector.Snapshot(digits).Fault, "302") })
	if elsewhere.Load() != 0 {
		t.Error("it went where the pod sent it")
	}
	target.Ended = true
	collector.Want(digits, target)
	eventually(t, "the end", func() bool { return collector.Snapshot(digits).Drained })
	if diff := cmp.Diff([]float64{1}, stored(t, s)); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}

func TestWhatAnotherManagerWasPushed(t *testing.T) {
	c, s := newCluster(t), database(t)
	opts := quick()
	opts.Refresh = time.Millisecond
	collector, _ := run(t, s, c, opts)
	collector.Want(digits, Target{Kind: Push, Metrics: []string{"loss"}})
	sample := observe.Sample{Metric: "loss", Value: 1, At: noon, Step: observe.NoStep}
	if err := s.Append(t.Context(), store.Series{Trial: digits, Source: "elsewhere"}, []observe.Sample{sample}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its value", count(collector, 1))
}

func TestOneTrialsMistakeIsNotTheOthers(t *testing.T) {
	c, s := newCluster(t), database(t)
	s.Limits.Metrics = 1
	collector, _ := run(t, s, c, quick())
	both := follow
	both.Metrics = []string{"loss", "accuracy"}
	other, its := store.Trial{Namespace: "team", Name: "other", UID: "uid-2"}, follow
	its.Pod, its.PodUID = "other", "o"
	c.say("digits-1", 0, "loss=1 accuracy=2")
	c.say("other", 0, "loss=7")
	collector.Want(digits, both)
	collector.Want(other, its)
	eventually(t, "the other's value", func() bool { return collector.Snapshot(other).Curves["loss"].Latest == 7 })
	eventually(t, "a fault", func() bool { return strings.Contains(collector.Snapshot(digits).Fault, "too many metrics") })
}

func TestNext(t *testing.T) {
	for text, want := range map[string][]string{
		"a\nbc\n":                         {"a", "bc"},
		"\n\nx":                           {"", "", "x"},
		strings.Repeat("y", 50) + "\nz\n": {strings.Repeat("y", 20), "z"},
	} {
		var got []string
		for lines := bufio.NewReaderSize(strings.NewReader(text), 16); ; {
			line, _, err := next(lines, 20)
			if err == nil || len(line) > 0 {
				got = append(got, string(line))
			}
			if errors.Is(err, io.EOF) {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("lines of %q (-want +got):\n%s", text, diff)
		}
	}
}
