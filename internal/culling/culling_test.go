// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package culling

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

func schedule(stop, zone string) v1alpha1.Schedule {
	return v1alpha1.Schedule{Stop: stop, TimeZone: zone}
}

func TestWhoseWordCounts(t *testing.T) {
	evening, night := schedule("0 20 * * *", "Europe/Berlin"), schedule("0 23 * * *", "UTC")
	team := &v1alpha1.ProfileCulling{Culling: v1alpha1.Culling{IdleMinutes: new(int32(60)), Schedules: []v1alpha1.Schedule{evening}}}
	stricter := team.DeepCopy()
	stricter.Override = v1alpha1.OverrideStricter
	stricter.Connections = v1alpha1.IgnoreConnections
	for name, c := range map[string]struct {
		team *v1alpha1.ProfileCulling
		own  *v1alpha1.Culling
		want []v1alpha1.CullingTerm
	}{
		"nobody but the manager says anything": {want: []v1alpha1.CullingTerm{{Field: "idleMinutes", Value: "1440", From: "Manager"}}},
		"the Profile": {team: team, want: []v1alpha1.CullingTerm{
			{Field: "idleMinutes", Value: "60", From: "Profile"}, {Field: "schedules", Value: "stop 0 20 * * *, Europe/Berlin", From: "Profile"},
		}},
		"the notebook, over the Profile": {
			team: team, own: &v1alpha1.Culling{IdleMinutes: new(int32(0)), MaxHours: new(int32(72)), Schedules: []v1alpha1.Schedule{night}},
			want: []v1alpha1.CullingTerm{
				{Field: "idleMinutes", Value: "0", From: "Notebook"},
				{Field: "maxHours", Value: "72", From: "Notebook"},
				{Field: "schedules", Value: "stop 0 23 * * *, UTC", From: "Notebook"},
			},
		},
		"a notebook that would be stopped later": {
			team: stricter, own: &v1alpha1.Culling{IdleMinutes: new(int32(0)), MaxHours: new(int32(0)), Connections: v1alpha1.CountConnections},
			want: []v1alpha1.CullingTerm{
				{Field: "idleMinutes", Value: "60", From: "Profile"},
				{Field: "connections", Value: "Ignore", From: "Profile"},
				{Field: "schedules", Value: "stop 0 20 * * *, Europe/Berlin", From: "Profile"},
			},
		},
		"a notebook that would be stopped sooner": {
			team: stricter, own: &v1alpha1.Culling{IdleMinutes: new(int32(30)), MaxHours: new(int32(8)), Schedules: []v1alpha1.Schedule{night}},
			want: []v1alpha1.CullingTerm{
				{Field: "idleMinutes", Value: "30", From: "Notebook"},
				{Field: "maxHours", Value: "8", From: "Notebook"},
				{Field: "connections", Value: "Ignore", From: "Profile"},
				{Field: "schedules", Value: "stop 0 20 * * *, Europe/Berlin", From: "Profile"},
				{Field: "schedules", Value: "stop 0 23 * * *, UTC", From: "Notebook"},
			},
		},
		"a notebook that would be started again": {
			team: stricter, own: &v1alpha1.Culling{Schedules: []v1alpha1.Schedule{{Stop: night.Stop, Start: "*/5 * * * *", TimeZone: "UTC"}}},
			want: []v1alpha1.CullingTerm{
				{Field: "idleMinutes", Value: "60", From: "Profile"},
				{Field: "connections", Value: "Ignore", From: "Profile"},
				{Field: "schedules", Value: "stop 0 20 * * *, Europe/Berlin", From: "Profile"},
				{Field: "schedules", Value: "stop 0 23 * * *, UTC", From: "Notebook"},
			},
		},
		"a schedule of the Profile that cannot be read": {
			team: &v1alpha1.ProfileCulling{Culling: v1alpha1.Culling{Schedules: []v1alpha1.Schedule{schedule("0 25 * * *", "UTC"), night}}},
			want: []v1alpha1.CullingTerm{
				{Field: "idleMinutes", Value: "1440", From: "Manager"}, {Field: "schedules", Value: "stop 0 23 * * *, UTC", From: "Profile"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Of(24*time.Hour, 0, c.team, c.own).Terms()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestSchedulesWhenTheClockIsChanged(t *testing.T) {
	for name, c := range map[string]struct{ line, zone, after, want string }{
		"left out, east of Greenwich":          {"30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"},
		"left out, west of it":                 {"30 2 * * *", "America/New_York", "2026-03-08T06:45:00Z", "2026-03-08T07:30:00Z"},
		"left out, at midnight":                {"0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", "2018-11-04T03:00:00Z"},
		"after it was left out":                {"30 2 * * *", "Europe/Berlin", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"},
		"shown twice":                          {"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T01:30:00Z"},
		"after it was shown twice":             {"30 2 * * *", "Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"},
		"shown twice, west of it":              {"30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", "2026-11-01T05:30:00Z"},
		"shown twice, from between":            {"30 1 * * *", "America/New_York", "2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"},
		"shown twice, from the second hour":    {"30 1 * * *", "America/New_York", "2026-11-01T06:15:00Z", "2026-11-02T06:30:00Z"},
		"on an ordinary day":                   {"0 20 * * 1-5", "Europe/Berlin", "2026-07-03T18:00:00Z", "2026-07-06T18:00:00Z"},
		"in a zone that is half an hour apart": {"0 20 * * *", "Asia/Kolkata", "2026-07-03T12:00:00Z", "2026-07-03T14:30:00Z"},
		"never":                                {"0 0 31 2 *", "UTC", "2026-07-03T12:00:00Z", "0001-01-01T00:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			after, err := time.Parse(time.RFC3339, c.after)
			if err != nil {
				t.Fatal(err)
			}
			if got := NextStop(schedule(c.line, c.zone), after).UTC().Format(time.RFC3339); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add(int32(60), int32(0), int32(0), int32(5), "0 20 * * *", "Europe/Berlin", int64(1_774_000_000))
	f.Add(int32(0), int32(24), int32(9), int32(0), "30 2 29 2 *", "Local", int64(1_793_000_000))
	f.Fuzz(func(t *testing.T, idle, life, ownIdle, ownLife int32, line, zone string, at int64) {
		at = max(min(at, 4_000_000_000), 0)
		bound := func(n int32) *int32 { return new(max(min(n, 525600), 0)) }
		own := &v1alpha1.Culling{IdleMinutes: bound(ownIdle), MaxHours: bound(ownLife), Schedules: []v1alpha1.Schedule{schedule(line, zone)}}
		team := &v1alpha1.ProfileCulling{
			Culling: v1alpha1.Culling{IdleMinutes: bound(idle), MaxHours: bound(life)}, Override: v1alpha1.OverrideStricter,
		}
		free, held := Of(time.Hour, 0, team, nil), Of(time.Hour, 0, team, own)
		if later(held.Idle, free.Idle) || later(held.Life, free.Life) || len(held.Schedules) < len(free.Schedules) {
			t.Errorf("%v is laxer than %v", held.Terms(), free.Terms())
		}
		after := time.Unix(at, 0)
		if next := NextStop(own.Schedules[0], after); !next.IsZero() && !next.After(after) {
			t.Errorf("after %s comes %s", after, next)
		}
	})
}

// later is true of a limit that is longer than another; 0 is for ever.
func later(d, than time.Duration) bool { return than > 0 && (d == 0 || d > than) }
