// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"fmt"
	"slices"
	"strings"
)

// search is one call of Next: a problem and its trials, made ready.
type search struct {
	Problem
	cube *cube
	set  settings
	// own are the trials of this search in the order they were proposed; those
	// of this call join them one by one, so that a batch is the same as its
	// proposals asked for one by one.
	own       []Trial
	facts     []fact          // evidence, that of others first, in the order it was found out
	seen      map[string]bool // keys of own
	cancelled func() bool
}

// Next proposes up to n trials. It fails only for a problem that has faults
// (Validate lists them). Cancelled may be nil; when it becomes true Next returns
// what it has. There are never more than MaxTrials trials, which is not
// exhaustion: a larger MaxTrials continues the search.
func Next(p Problem, trials []Trial, n int, cancelled func() bool) (Answer, error) {
	s, err := Begin(p, trials)
	if err != nil {
		return Answer{}, err
	}
	return s.Next(n, cancelled), nil
}

// Session is a search that goes on: it proposes what Next would of the same
// trials, and does not begin anew for each. Its own proposals are its trials from
// then on.
type Session struct {
	search    *search
	algorithm Algorithm
}

// Begin makes trials ready. It fails only for a problem that has faults.
func Begin(p Problem, trials []Trial) (*Session, error) {
	if faults := check(p); len(faults) > 0 {
		return nil, fmt.Errorf("the search has faults: %s", strings.Join(texts(faults), "; "))
	}
	a, _ := Find(p.Algorithm)
	return &Session{newSearch(p, newSettings(a.Settings, p.Settings), trials), a}, nil
}

// Next proposes up to n trials, as the function Next does.
func (s *Session) Next(n int, cancelled func() bool) Answer {
	if s.search.cancelled = cancelled; cancelled == nil {
		s.search.cancelled = func() bool { return false }
	}
	if most := s.search.MaxTrials; most > 0 {
		n = min(n, most-len(s.search.own))
	}
	if n <= 0 {
		return Answer{}
	}
	return s.algorithm.next(s.search, n)
}

// Tell replaces trial i, from 0, of those that are not Prior, which was Pending: it
// has ended, after all those whose results are known.
func (s *Session) Tell(i int, t Trial) {
	s.search.own[i] = t
	f, ok := s.search.fact(&t)
	if !ok {
		return
	}
	facts := s.search.facts
	pending := slices.IndexFunc(facts, func(f fact) bool { return f.own >= 0 && f.state == Pending })
	at := slices.IndexFunc(facts, func(f fact) bool { return f.own == i })
	copy(facts[pending+1:at+1], facts[pending:at])
	f.own = i
	facts[pending] = f
}

func newSearch(p Problem, set settings, trials []Trial) *search {
	s := &search{Problem: p, set: set, cube: newCube(p.Space), cancelled: func() bool { return false }}
	s.own, s.seen = make([]Trial, 0, len(trials)), make(map[string]bool, len(trials))
	if set.has(randomState.Name) {
		s.Seed = mix(uint64(set.int(randomState.Name)))
	}
	for _, t := range trials {
		if !t.Prior {
			s.take(t)
		}
	}
	s.facts = s.evidence(trials)
	return s
}

// take makes a trial part of the search's own.
func (s *search) take(t Trial) {
	s.own = append(s.own, t)
	s.seen[s.cube.key(t.Assignment)] = true
}

// each makes up to n proposals one after the other, each knowing those before
// it as pending. One is called with the number of the proposal and is false when
// there is nothing to propose at this time.
func (s *search) each(n int, one func(index int) (Proposal, bool)) Answer {
	var answer Answer
	for range n {
		if s.cancelled() {
			break
		}
		p, ok := one(len(s.own))
		if !ok {
			break
		}
		t := Trial{Assignment: p.Assignment, Labels: p.Labels, State: Pending}
		s.take(t)
		if f, ok := s.fact(&t); ok {
			f.own = len(s.own) - 1
			s.facts = append(s.facts, f)
		}
		answer.Proposals = append(answer.Proposals, p)
	}
	return answer
}

// eachNew is each for algorithms that have no proposal only when the space is used up.
func (s *search) eachNew(n int, one func(index int) (Proposal, bool)) Answer {
	dry := false
	answer := s.each(n, func(index int) (Proposal, bool) {
		p, ok := one(index)
		dry = !ok
		return p, ok
	})
	if dry {
		answer.Exhausted = s.exhausted()
	}
	return answer
}

// exhausted says why no new point is left.
func (s *search) exhausted() string {
	size, finite := s.cube.size(0)
	switch {
	case !finite || size > listable:
		return fmt.Sprintf("no further point that meets the constraints was found in %d draws", draws)
	case s.cube.constrained():
		return fmt.Sprintf("all of the %d points of the space that meet the constraints are tried", len(s.seen))
	}
	return fmt.Sprintf("all %d points of the space are tried", size)
}

// drawn is a proposal by chance, of a point that is new.
func (s *search) drawn(purpose string, index int, why string) (Proposal, bool) {
	a, ok := s.cube.draw(stream(s.Seed, purpose, index), s.seen)
	return Proposal{Assignment: a, Why: why}, ok
}

// random draws each parameter by itself.
func random(s *search, n int) Answer {
	return s.eachNew(n, func(index int) (Proposal, bool) { return s.drawn("random", index, "drawn at random") })
}
