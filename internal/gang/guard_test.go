// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package gang

import (
	"slices"
	"testing"
	"time"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func TestTheOneThatLosesLeastGoesFirst(t *testing.T) {
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	want := []Waiting{
		{Name: "a/younger", Placed: 1, Created: ago(time.Minute)},
		{Name: "a/older", Placed: 1, Created: ago(time.Hour)},
		{Name: "b/older", Placed: 1, Created: ago(time.Hour)},
		{Name: "a/more-places", Placed: 2, Created: ago(time.Minute)},
		{Name: "a/little-work", Placed: 1, Ran: ago(time.Hour), Created: ago(2 * time.Hour)},
		{Name: "a/work-of-many", Placed: 8, Ran: ago(time.Hour), Created: ago(2 * time.Hour)},
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, func(a, b Waiting) int { return before(a, b, now) })
	if !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestPatience(t *testing.T) {
	few, some, many := Waiting{Name: "few", Placed: 1}, Waiting{Name: "some", Placed: 2}, Waiting{Name: "many", Placed: 3}
	const timeout = 80 * time.Second
	for name, tc := range map[string]struct {
		me     Waiting
		rivals []Waiting
		want   time.Duration
	}{
		"alone it waits to the end":          {few, nil, timeout},
		"it is no rival of itself":           {few, []Waiting{{Name: "few", Placed: 3}}, timeout},
		"the least of two goes at half time": {few, []Waiting{many}, timeout / 2},
		"the most of two waits to the end":   {many, []Waiting{few}, timeout},
		"the one in between goes in between": {some, []Waiting{few, many}, timeout * 3 / 4},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Patience(tc.me, tc.rivals, timeout, now); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestBackoffGrowsAndDiffers(t *testing.T) {
	differ := map[time.Duration]bool{}
	for _, uid := range []string{"a", "b", "c", "d", "e", "f"} {
		for n := int32(1); n < 40; n++ {
			base := min(firstBackoff<<min(n-1, mostDoubled), mostBackoff)
			got := Backoff(uid, n)
			if got < base || got >= base+base/2 {
				t.Fatalf("the wait after release %d of %s is %s, of at least %s", n, uid, got, base)
			}
			if got != Backoff(uid, n) {
				t.Fatal("the wait differs from one look to the next")
			}
			differ[got] = true
		}
	}
	if len(differ) < 50 {
		t.Errorf("only %d waits differ: jobs would come back together", len(differ))
	}
}
