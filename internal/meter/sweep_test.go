// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package meter

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/internal/observe"
	"github.com/millrace-ml/millrace/internal/store"
)

// reader has trials by name, as UIDs, and counts how often it was asked.
type reader struct {
	client.Reader
	trials map[string]types.UID
	fails  error
	asked  int
}

func (r *reader) Get(_ context.Context, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	r.asked++
	uid, found := r.trials[key.Name]
	if !found && r.fails == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "trials"}, key.Name)
	}
	o.SetUID(uid)
	return r.fails
}

// sweeping is a sweeper over a store that knows trials, each by its name and a UID that begins with it.
func sweeping(t *testing.T, trials ...store.Trial) (*Sweeper, *store.Store) {
	t.Helper()
	s, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "metrics.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	s.Cluster = "home"
	var batches []store.Batch
	for _, trial := range trials {
		samples := []observe.Sample{{Metric: "loss", Value: 1, At: time.Unix(1, 0)}}
		batches = append(batches, store.Batch{Series: store.Series{Trial: trial, Source: "log"}, Samples: samples})
	}
	if err := s.AppendAll(t.Context(), batches); err != nil {
		t.Fatal(err)
	}
	return &Sweeper{Store: s, Cache: &reader{}, Live: &reader{}}, s
}

// kept are the UIDs of the trials of which there are values.
func kept(t *testing.T, s *store.Store, of ...store.Trial) []string {
	t.Helper()
	var uids []string
	for _, trial := range of {
		got, err := s.Observe(t.Context(), trial)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > 0 {
			uids = append(uids, trial.UID)
		}
	}
	return uids
}

func TestOnlyTrialsThatAreGoneAreSwept(t *testing.T) {
	trials := []store.Trial{
		{Namespace: "team", Name: "here", UID: "here"},
		{Namespace: "team", Name: "young", UID: "young"}, // the cache is late
		{Namespace: "team", Name: "again", UID: "again-1"},
		{Namespace: "team", Name: "again", UID: "again-2"}, // deleted and made anew
		{Namespace: "team", Name: "late", UID: "late-1"},
		{Namespace: "team", Name: "late", UID: "late-2"}, // the cache has the old one still
		{Namespace: "team", Name: "gone", UID: "gone"},
		{Namespace: "other", Name: "gone", UID: "elsewhere"}, // of another manager
	}
	sweeper, s := sweeping(t, trials...)
	cache := &reader{trials: map[string]types.UID{"here": "here", "again": "again-2", "late": "late-1"}}
	live := &reader{trials: map[string]types.UID{"here": "here", "young": "young", "again": "again-2", "late": "late-2"}}
	ticks := make(chan time.Time)
	sweeper.Cache, sweeper.Live, sweeper.Namespaces = cache, live, []string{"team"}
	janitor := &store.Janitor{Do: sweeper.Sweep, Failed: "the sweep", Ticks: ticks, Log: logr.Discard()}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- janitor.Start(ctx) }()
	tick := func() {
		ticks <- time.Time{}
		ticks <- time.Time{} // taken when the first one was worked off
	}
	live.fails = errors.New("not now")
	tick()
	all := []string{"here", "young", "again-1", "again-2", "late-1", "late-2", "gone", "elsewhere"}
	if diff := cmp.Diff(all, kept(t, s, trials...)); diff != "" {
		t.Errorf("while the API server cannot be asked (-want +got):\n%s", diff)
	}
	live.fails = nil
	tick()
	want := []string{"here", "young", "again-2", "late-1", "late-2", "elsewhere"}
	if diff := cmp.Diff(want, kept(t, s, trials...)); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	cache.trials = live.trials
	tick()
	want = []string{"here", "young", "again-2", "late-2", "elsewhere"}
	if diff := cmp.Diff(want, kept(t, s, trials...)); diff != "" {
		t.Errorf("when the cache is up to date (-want +got):\n%s", diff)
	}
	live.asked = 0
	tick()
	stop()
	if err := <-ended; err != nil || live.asked != 0 {
		t.Errorf("%d requests when all are there, %v", live.asked, err)
	}
}

func TestASweepIsBounded(t *testing.T) {
	var trials []store.Trial
	there := map[string]types.UID{}
	for i := range looked + 2*dropped {
		uid := fmt.Sprintf("uid-%05d", i)
		trials = append(trials, store.Trial{Namespace: "team", Name: uid, UID: uid})
		if i < looked {
			there[uid] = types.UID(uid)
		}
	}
	sweeper, s := sweeping(t, trials...)
	cache := &reader{trials: there}
	sweeper.Cache = cache
	for i, want := range []int{looked + 2*dropped, looked + dropped, looked} {
		cache.asked = 0
		if err := sweeper.Sweep(t.Context()); err != nil || cache.asked > looked {
			t.Fatalf("%d looked for, %v", cache.asked, err)
		}
		if got := len(kept(t, s, trials...)); got != want {
			t.Errorf("sweep %d leaves %d, want %d", i, got, want)
		}
	}
}
