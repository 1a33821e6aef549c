// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// The wait before a log is opened again; it doubles while nothing comes of it.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 15 * time.Second
)

// A log that cannot be read is told of from the second time on, for a connection may break; and it is given up after
// the fifth when nothing will change any more.
const (
	tellAfter   = 2
	giveUpAfter = 5
)

// follower prints the log of one replica through all starts of its container, until its pod is gone.
//
//	          news                       read to its end
//	(waiting) ----> start begun ----> reading ----> (waiting for the next start)
//	                                   ^   |
//	                                   +---+ the connection ended, and the container had not
type follower struct {
	containerLog
	// news holds the newest state of the pod, and is closed when there will be none.
	news chan *corev1.Pod
	// next is the number of the start that is to be read.
	next int32
	// deaf is true once no news will come.
	deaf bool
	// retry is the wait before the log is opened again, and failures how often it could not be read since its last line.
	retry    time.Duration
	failures int
	// lines counts what was printed.
	lines atomic.Int64

	// What the sender of the news keeps: whether it was the last, and whether the container has ended.
	last, ended bool
}

// hear takes the newest state of the pod, in place of one that was not looked at yet. One goroutine may call it.
func (f *follower) hear(p *corev1.Pod) {
	f.ended = startOf(p, f.containerOf(p)).ended
	select {
	case <-f.news:
	default:
	}
	f.news <- p
}

// hearNoMore tells that the pod is gone, or that nothing after it matters.
func (f *follower) hearNoMore() {
	f.last = true
	close(f.news)
}

func (f *follower) run(ctx context.Context) {
	f.await(ctx, nil)
	for ctx.Err() == nil {
		at := startOf(f.pod, f.containerOf(f.pod))
		idle := !at.begun || at.number < f.next
		switch {
		case f.deaf && (idle || f.failures >= giveUpAfter):
			return
		case idle:
			f.await(ctx, nil)
		case !f.advance(ctx, at):
			f.pause(ctx)
		}
	}
}

// pause waits for as long as the log is to be left alone, or for news.
func (f *follower) pause(ctx context.Context) {
	timer := time.NewTimer(f.retry)
	defer timer.Stop()
	f.await(ctx, timer.C)
}

// await waits for news of the pod, or for the time.
func (f *follower) await(ctx context.Context, elapsed <-chan time.Time) {
	news := f.news
	if f.deaf {
		news = nil
	}
	select {
	case p, more := <-news:
		if f.deaf = !more; more {
			f.pod = p
		}
	case <-elapsed:
	case <-ctx.Done():
	}
}

// advance reads on; false when it should not be called again at once. A log is read to its end when it was opened after
// the container had ended: before, the end may be that of a connection, or of a file the kubelet has rotated.
func (f *follower) advance(ctx context.Context, at start) bool {
	if at.number > f.next {
		return f.catchUp(ctx, at)
	}
	if !at.ended {
		_ = f.read(ctx, reading{follow: true})
		return false
	}
	if f.read(ctx, reading{}) != nil {
		return false
	}
	f.next++
	return true
}

// catchUp reads the rest of a start whose end was not seen. The kubelet keeps that log until the next start.
func (f *follower) catchUp(ctx context.Context, at start) bool {
	err := f.read(ctx, reading{previous: true})
	lost := apierrors.IsNotFound(err) || apierrors.IsBadRequest(err) || f.failures >= giveUpAfter
	if err != nil && !lost {
		return false
	}
	if lost {
		f.printer.say("note: the last lines of %s before its restart are lost: %s", f.pod.Name, unreadable(err))
	}
	f.next = at.number
	return true
}

// read prints what is new, and says so when it cannot for a while. A pod that is gone is no fault.
func (f *follower) read(ctx context.Context, how reading) error {
	f.retry = min(max(firstRetry, 2*f.retry), lastRetry)
	err := f.containerLog.read(ctx, how, func(l line) {
		f.retry, f.failures = firstRetry, 0
		f.lines.Add(1)
		f.printer.print(l)
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		f.failures = 0
		return nil
	}
	f.failures++
	gone := apierrors.IsNotFound(err)
	if gone && f.deaf {
		f.failures = giveUpAfter
	}
	if f.failures == tellAfter && !gone {
		f.printer.say("note: the log of %s cannot be read, it is tried again: %s", f.pod.Name, unreadable(err))
	}
	return err
}
