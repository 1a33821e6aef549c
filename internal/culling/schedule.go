// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package culling

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

var errZone = errors.New("no such time zone")

func zoneOf(s v1alpha1.Schedule) string { return cmp.Or(s.TimeZone, "UTC") }

// parse reads a line of cron, as a clock on the wall shows its times, and where the clock is. The zone of the manager's own clock is nobody's.
func parse(line, zone string) (cron.Schedule, *time.Location, error) {
	where, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		return nil, nil, errZone
	}
	schedule, err := cron.ParseStandard("CRON_TZ=UTC " + line)
	return schedule, where, err
}

// Unreadable is the first line that is not understood, as its path below the schedules, and why.
func Unreadable(schedules []v1alpha1.Schedule) (string, error) {
	for i, s := range schedules {
		for _, line := range []struct{ field, text string }{{"stop", s.Stop}, {"start", s.Start}} {
			if line.text == "" {
				continue
			}
			switch _, _, err := parse(line.text, zoneOf(s)); {
			case errors.Is(err, errZone):
				return fmt.Sprintf("schedules[%d].timeZone", i), fmt.Errorf("there is no time zone %s: write one such as Europe/Berlin", s.TimeZone)
			case err != nil:
				return fmt.Sprintf("schedules[%d].%s", i, line.field), err
			}
		}
	}
	return "", nil
}

// NextStop and NextStart are the next times of a schedule after another; zero when there is none.
func NextStop(s v1alpha1.Schedule, after time.Time) time.Time { return next(s.Stop, s, after) }

// NextStart is when a server that a schedule has stopped is started.
func NextStart(s v1alpha1.Schedule, after time.Time) time.Time { return next(s.Start, s, after) }

// next is the next time of a line of cron; none when there is no line, or it cannot be read, or it never comes. A time that the clock leaves out
// when summer begins comes as much later, and one that it shows twice when summer ends comes once.
func next(line string, s v1alpha1.Schedule, after time.Time) time.Time {
	if line == "" {
		return time.Time{}
	}
	schedule, where, err := parse(line, zoneOf(s))
	if err != nil {
		return time.Time{}
	}
	wall := shown(after.In(where), time.UTC)
	for {
		if wall = schedule.Next(wall); wall.IsZero() {
			return wall
		}
		at := shown(wall, where)
		if left := wall.Sub(shown(at, time.UTC)); left > 0 {
			at = at.Add(left)
		}
		if at.After(after) {
			return at
		}
	}
}

// shown is when a clock elsewhere shows the same.
func shown(t time.Time, where *time.Location) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), where)
}
