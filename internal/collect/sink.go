// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/millrace-ml/millrace/internal/observe"
	"github.com/millrace-ml/millrace/internal/store"
)

// sink writes what all workers read, together: a transaction costs more than the samples in it. Who reads faster than can be written
// waits.
type sink struct {
	store Store
	clock clock.Clock
	log   logr.Logger
	every time.Duration
	items chan item
	// taken is told what was stored, refused what never will be.
	taken   func(store.Series, []observe.Sample)
	refused func(of store.Trial, why string)

	pending map[store.Series]*pending
	size    int
}

// item is what one line told, or that everything before it is to be written now.
type item struct {
	series  store.Series
	samples []observe.Sample
	// read is how far the source was read.
	read time.Time
	// flushed is closed when all items before were written; nil for no matter.
	flushed chan struct{}
}

type pending struct {
	samples []observe.Sample
	read    time.Time
}

const (
	// full is how many samples are written at once, and held at most but for the last item.
	full = 5000
	// markEvery is how often it is written how far a source that tells no metrics was read, by the time of the source.
	markEvery = 30 * time.Second
	// farewell is how long the last writing may take.
	farewell = 5 * time.Second
)

// put hands an item over; false when the context ended.
func (s *sink) put(ctx context.Context, i item) bool {
	select {
	case s.items <- i:
		return true
	case <-ctx.Done():
		return false
	}
}

// flush returns when everything that was put before is stored; false when the context ended first.
func (s *sink) flush(ctx context.Context) bool {
	done := make(chan struct{})
	if !s.put(ctx, item{flushed: done}) {
		return false
	}
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *sink) run(ctx context.Context) {
	var waiting []chan struct{}
	var timer clock.Timer
	var due <-chan time.Time
	arm := func() {
		if due == nil && (s.size > 0 || len(waiting) > 0) {
			timer = s.clock.NewTimer(s.every)
			due = timer.C()
		}
	}
	for {
		items := s.items
		if s.size >= full {
			items = nil
		}
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
			s.write(last)
			cancel()
			return
		case i := <-items:
			if i.flushed != nil {
				waiting = append(waiting, i.flushed)
			}
			s.gather(i)
			if s.size < full {
				arm()
				continue
			}
		case <-due:
		}
		due = nil
		if s.write(ctx) {
			for _, done := range waiting {
				close(done)
			}
			waiting = nil
		}
		arm()
	}
}

func (s *sink) gather(i item) {
	if i.flushed != nil {
		return
	}
	p := s.pending[i.series]
	if p == nil {
		p = &pending{}
		s.pending[i.series] = p
	}
	p.samples, p.read = append(p.samples, i.samples...), i.read
	s.size += max(1, len(i.samples))
}

// write stores what was gathered; false when it has to be tried again.
func (s *sink) write(ctx context.Context) bool {
	var batches []store.Batch
	for _, series := range slices.SortedFunc(maps.Keys(s.pending), bySource) {
		if p := s.pending[series]; len(p.samples) > 0 {
			batches = append(batches, store.Batch{Series: series, Samples: p.samples})
		}
	}
	if err := s.append(ctx, batches); err != nil {
		s.log.Error(err, "Metrics could not be stored; they are kept and tried again", "samples", s.size)
		return false
	}
	for _, b := range batches {
		s.taken(b.Series, b.Samples)
	}
	for series, p := range s.pending {
		if len(p.samples) > 0 {
			continue // its last sample tells
		}
		if err := s.store.Mark(ctx, series, p.read); err != nil {
			s.log.Error(err, "How far a log was read could not be stored; after a restart more of it is read again")
		}
	}
	clear(s.pending)
	s.size = 0
	return true
}

func bySource(a, b store.Series) int {
	switch {
	case a.Trial.UID+a.Source < b.Trial.UID+b.Source:
		return -1
	case a == b:
		return 0
	}
	return 1
}

// append stores batches together or, when one of them is refused, one by one, so that nobody else has to suffer for it.
func (s *sink) append(ctx context.Context, batches []store.Batch) error {
	if len(batches) == 0 {
		return nil
	}
	err := s.store.AppendAll(ctx, batches)
	if !refusal(err) {
		return err
	}
	for _, b := range batches {
		err := s.store.AppendAll(ctx, []store.Batch{b})
		if refusal(err) {
			s.refused(b.Series.Trial, err.Error())
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func refusal(err error) bool {
	return errors.Is(err, store.ErrInvalid) || errors.Is(err, store.ErrTooMany)
}
