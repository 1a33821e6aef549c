// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package culling is the policy by which a server is stopped by itself. It comes in layers: what the manager's configuration says, what the
// Profile of the namespace says, and what the notebook says. Each says of a part what the ones before it do, unless the Profile lets notebooks
// be stricter only: then a notebook can be stopped sooner by its own word, and not later.
package culling

import (
	"slices"
	"strconv"
	"time"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// Policy is what counts for a notebook.
type Policy struct {
	// Idle is how long nothing may have been used, Life how long the server may run at all; 0 is for ever.
	Idle, Life time.Duration
	// IgnoreConnections is true where an open connection alone is no use.
	IgnoreConnections bool
	// Schedules stop and start it.
	Schedules []v1alpha1.Schedule

	idleFrom, lifeFrom, connectionsFrom v1alpha1.CullingSource
	schedulesFrom                       []v1alpha1.CullingSource
}

// Of is the policy of a notebook by its own words, by those of the Profile of its namespace, and by the manager's; of the first two either may be
// nil. Schedules of a Profile that cannot be read, which the Profile says, are left out.
func Of(idle, life time.Duration, team *v1alpha1.ProfileCulling, own *v1alpha1.Culling) Policy {
	p := Policy{Idle: idle, Life: life, idleFrom: v1alpha1.CullingByManager, lifeFrom: v1alpha1.CullingByManager}
	stricter := false
	if team != nil {
		readable := team.Culling
		readable.Schedules = slices.DeleteFunc(slices.Clone(readable.Schedules), func(s v1alpha1.Schedule) bool {
			_, err := Unreadable([]v1alpha1.Schedule{s})
			return err != nil
		})
		p.take(&readable, v1alpha1.CullingByProfile, false)
		stricter = team.Override == v1alpha1.OverrideStricter
	}
	if own != nil {
		p.take(own, v1alpha1.CullingByNotebook, stricter)
	}
	return p
}

// take adds a layer.
func (p *Policy) take(c *v1alpha1.Culling, from v1alpha1.CullingSource, stricter bool) {
	if c.IdleMinutes != nil {
		limit(&p.Idle, &p.idleFrom, time.Duration(*c.IdleMinutes)*time.Minute, from, stricter)
	}
	if c.MaxHours != nil {
		limit(&p.Life, &p.lifeFrom, time.Duration(*c.MaxHours)*time.Hour, from, stricter)
	}
	ignore := c.Connections == v1alpha1.IgnoreConnections
	if c.Connections != "" && (ignore || !stricter) {
		p.IgnoreConnections, p.connectionsFrom = ignore, from
	}
	if len(c.Schedules) == 0 {
		return
	}
	if !stricter {
		p.Schedules, p.schedulesFrom = nil, nil
	}
	bound := stricter && len(p.Schedules) > 0
	for _, s := range c.Schedules {
		if bound {
			s.Start = "" // it would start again what the Profile's have stopped
		}
		p.Schedules, p.schedulesFrom = append(p.Schedules, s), append(p.schedulesFrom, from)
	}
}

// limit replaces a limit of time by another, a stricter one only where that is asked for.
func limit(have *time.Duration, by *v1alpha1.CullingSource, d time.Duration, from v1alpha1.CullingSource, stricter bool) {
	if !stricter || d > 0 && (*have == 0 || d < *have) {
		*have, *by = d, from
	}
}

// Terms tell whose word counts for what. What nobody has set is left out.
func (p Policy) Terms() []v1alpha1.CullingTerm {
	var all []v1alpha1.CullingTerm
	term := func(field, value string, from v1alpha1.CullingSource) {
		all = append(all, v1alpha1.CullingTerm{Field: field, Value: value, From: from})
	}
	if p.Idle > 0 || p.idleFrom != v1alpha1.CullingByManager {
		term("idleMinutes", number(p.Idle.Minutes()), p.idleFrom)
	}
	if p.Life > 0 || p.lifeFrom != v1alpha1.CullingByManager {
		term("maxHours", number(p.Life.Hours()), p.lifeFrom)
	}
	if p.connectionsFrom != "" {
		words := map[bool]v1alpha1.Connections{true: v1alpha1.IgnoreConnections, false: v1alpha1.CountConnections}
		term("connections", string(words[p.IgnoreConnections]), p.connectionsFrom)
	}
	for i, s := range p.Schedules {
		value := "stop " + s.Stop
		if s.Start != "" {
			value += ", start " + s.Start
		}
		term("schedules", value+", "+zoneOf(s), p.schedulesFrom[i])
	}
	return all
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
