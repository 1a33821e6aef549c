// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/millrace-ml/millrace/internal/observe"
	"github.com/millrace-ml/millrace/internal/store"
)

var (
	digits = store.Trial{Namespace: "team", Name: "digits-1", UID: "uid-1"}
	follow = Target{Kind: Log, Pod: "digits-1", PodUID: "p", Container: "main", Format: observe.FormatText, Metrics: []string{"loss"}}
	nans   = cmp.Comparer(func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) })
)

func quick() Options {
	return Options{Workers: 10, Line: 1 << 10, Points: 8, Flush: time.Millisecond, Pace: time.Millisecond, Again: time.Millisecond}
}

func database(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "metrics.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// run starts a Collector; what it returns kills it.
func run(t testing.TB, s Store, c *cluster, opts Options) (*Collector, func()) {
	t.Helper()
	collector := New(s, c.client(t), clock.RealClock{}, logr.Discard(), opts)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := collector.Start(ctx); err != nil {
			t.Error(err)
		}
	}()
	kill := func() {
		cancel()
		<-done
	}
	t.Cleanup(kill)
	return collector, kill
}

// eventually waits until what f says is true.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: did not come to be", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func count(c *Collector, n int64) func() bool {
	return func() bool { return c.Snapshot(digits).Curves["loss"].Count >= n }
}

func end(c *cluster, collector *Collector, target Target) {
	c.change(func(logs map[string]*podLog) { logs[target.Pod].ended = true })
	target.Ended = true
	collector.Want(digits, target)
}

// stored are the values of loss in the store.
// drained waits until all there is has been read, and compares what is stored.
func drained(t *testing.T, collector *Collector, s *store.Store, want ...float64) {
	t.Helper()
	eventually(t, "the end", func() bool { return collector.Snapshot(digits).Drained })
	if diff := cmp.Diff(want, stored(t, s), nans); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}

func stored(t *testing.T, s *store.Store) []float64 {
	t.Helper()
	samples, err := s.Read(t.Context(), digits, "loss", 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []float64
	for _, sample := range samples {
		all = append(all, sample.Value)
	}
	return all
}

func TestALogIsFollowedToItsEnd(t *testing.T) {
	c, s := newCluster(t), database(t)
	c.say("digits-1", 0, "loss=3")
	collector, _ := run(t, s, c, quick())
	collector.Want(digits, follow)
	eventually(t, "the first value", count(collector, 1))
	for i, text := range []string{"loss=2 loss=1", "Epoch 2", "loss=nan", "loss=low"} {
		c.say("digits-1", time.Duration(i), "%s", text)
	}
	eventually(t, "the others", count(collector, 4))
	if collector.Snapshot(digits).Drained {
		t.Error("it is drained before its container has ended")
	}
	end(c, collector, follow)
	drained(t, collector, s, 3, 2, 1, math.NaN())
	got := collector.Snapshot(digits)
	loss := got.Curves["loss"]
	if !got.Known || loss.Min != 1 || loss.NotFinite != 1 || !math.IsNaN(loss.Latest) || len(loss.Points) != 4 {
		t.Errorf("the snapshot is %+v", got)
	}
	if got.Fault != `loss: "low" is not a number` {
		t.Errorf("the fault is %q", got.Fault)
	}
	if c.requests > 3 {
		t.Errorf("%d requests for one log", c.requests)
	}
	collector.Want(digits)
	collector.Forget(name(digits))
	if got := collector.Snapshot(digits); got.Known {
		t.Error("a trial that is gone is known")
	}
}

// The manager is killed at random places of a log in which several lines have the same time, streams are cut off in the middle of
// lines, and the database fails: every value is stored once.
func TestNothingIsLostOrDoubled(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			c, s := newCluster(t), database(t)
			faulty := &failing{Store: s}
			var want []float64
			at := time.Duration(0)
			speak := func(n int) {
				for range n {
					at += []time.Duration{0, 0, 1, time.Millisecond, time.Second}[random.IntN(5)]
					cut := []string{"", "", "", "CUT "}[random.IntN(4)]
					v := float64(len(want))
					want = append(want, v)
					c.say("digits-1", at, "%sepoch loss=%g", cut, v)
				}
			}
			speak(1)
			for range 4 {
				collector, kill := run(t, faulty, c, quick())
				collector.Want(digits, follow)
				before := int64(len(want))
				speak(10)
				faulty.fail.Store(int32(random.IntN(3)))
				if random.IntN(2) == 0 {
					eventually(t, "half of them", count(collector, before+int64(random.IntN(10))))
				}
				kill()
				speak(random.IntN(5))
			}
			collector, _ := run(t, faulty, c, quick())
			collector.Want(digits, follow)
			end(c, collector, follow)
			drained(t, collector, s, want...)
			if got := collector.Snapshot(digits).Curves["loss"]; got.Count != int64(len(want)) || got.Latest != want[len(want)-1] {
				t.Errorf("observed %+v of %d", got.Observation, len(want))
			}
		})
	}
}

// failing is a store that fails so many times.
type failing struct {
	Store
	fail atomic.Int32
}

func (f *failing) AppendAll(ctx context.Context, batches []store.Batch) error {
	if f.fail.Add(-1) >= 0 {
		return errors.New("the disk is full")
	}
	return f.Store.AppendAll(ctx, batches)
}

func TestTheLogOfAContainerThatWasRestarted(t *testing.T) {
	c, s := newCluster(t), database(t)
	c.say("digits-1", 3*time.Second, "loss=1")
	c.change(func(logs map[string]*podLog) {
		logs["digits-1"].previous = []logLine{{noon, "loss=3"}, {noon.Add(time.Second), "loss=2"}}
	})
	target := follow
	target.Restarts = 1
	collector, _ := run(t, s, c, quick())
	collector.Want(digits, target)
	end(c, collector, target)
	drained(t, collector, s, 3, 2, 1)
}

// A stream breaks off, and the container is restarted before it is opened again.
func TestTheLogOfAContainerThatIsRestartedMeanwhile(t *testing.T) {
	c, s := newCluster(t), database(t)
	c.say("digits-1", 0, "loss=3")
	collector, _ := run(t, s, c, quick())
	collector.Want(digits, follow)
	eventually(t, "the first value", count(collector, 1))
	c.change(func(logs map[string]*podLog) {
		logs["digits-1"] = &podLog{
			previous: []logLine{{noon, "loss=3"}, {noon.Add(time.Second), "loss=2"}}, lines: []logLine{{noon.Add(3 * time.Second), "loss=1"}},
		}
	})
	eventually(t, "the value of the next container", count(collector, 2))
	target := follow
	target.Restarts = 1
	collector.Want(digits, target)
	end(c, collector, target)
	drained(t, collector, s, 3, 2, 1)
}

// The runtime gives lines of standard output and error their times before it writes them one after the other.
func TestLinesOutOfOrder(t *testing.T) {
	c, s := newCluster(t), database(t)
	for _, line := range []struct {
		after time.Duration
		text  string
	}{{2, "progress"}, {1, "loss=5"}, {time.Second, "progress"}, {time.Second - 1, "loss=4"}, {time.Second + 1, "CUT loss=3"}} {
		c.say("digits-1", line.after, "%s", line.text)
	}
	collector, _ := run(t, s, c, quick())
	collector.Want(digits, follow)
	end(c, collector, follow)
	drained(t, collector, s, 5, 4, 3)
}

func TestAPodThatIsGone(t *testing.T) {
	c, s := newCluster(t), database(t)
	target := follow
	target.Ended = true
	collector, _ := run(t, s, c, quick())
	collector.Want(digits, target)
	eventually(t, "the end", func() bool { return collector.Snapshot(digits).Drained })
	if got := collector.Snapshot(digits).Fault; !strings.Contains(got, "deleted before its log") {
		t.Errorf("the fault is %q", got)
	}
}

func TestLongLinesAreCutAndFiltersAreChecked(t *testing.T) {
	c, s := newCluster(t), database(t)
	c.say("digits-1", 0, "%s loss=9", strings.Repeat("x", 2000))
	c.say("digits-1", 1, "loss=1 %s", strings.Repeat("x", 20000))
	c.say("digits-1", 2, "loss=2")
	collector, _ := run(t, s, c, quick())
	collector.Want(digits, follow)
	eventually(t, "the values", count(collector, 2))
	if got := collector.Snapshot(digits).Fault; !strings.Contains(got, "longer than can be read") {
		t.Errorf("the fault is %q", got)
	}
	other := store.Trial{Namespace: "team", Name: "other", UID: "uid-2"}
	bad := follow
	bad.Filters = []string{"("}
	collector.Want(other, bad)
	eventually(t, "a fault", func() bool { return strings.Contains(collector.Snapshot(other).Fault, "regular expression") })
}
