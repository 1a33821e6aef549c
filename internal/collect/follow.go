// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/internal/observe"
	"github.com/millrace-ml/millrace/internal/store"
)

// tail reads one log, over as many requests as that takes.
type tail struct {
	series store.Series
	parser observe.Parser
	// from is the time up to which the log was read. What is of about that time is read again: it may have been kept in part, and lines are
	// written a little out of the order of their times.
	from time.Time
	// marked is how far the sink was told that the log was read.
	marked time.Time
	number observe.Sequencer
}

// disorder is how far lines may be out of the order of their times: a container's two streams are given their times before one waits for
// the other.
const disorder = time.Second

// follow reads a log until its container has ended and it was read once more to its end: a stream may end because the API server
// restarts, and only a log that cannot grow any more can have been read to its end.
func (c *Collector) follow(ctx context.Context, w *worker) bool {
	target := w.target()
	t := &tail{series: target.series(), number: observe.Sequencer{}}
	parser, err := observe.New(target.Format, target.Metrics, target.Filters)
	if err != nil {
		c.fault(target.Trial, err.Error())
		return c.await(ctx, w)
	}
	t.parser = parser
	if !c.insist(ctx, "Reading how far a log was kept failed", func() (err error) {
		t.from, err = c.store.Resume(ctx, t.series)
		return err
	}) {
		return false
	}
	restarts, opened := int32(0), t.from
	for wait := c.opts.Again; ; wait = min(2*wait, longest) {
		target = w.target()
		if target.Restarts > restarts {
			// The container was restarted while nobody looked, or before a stream that broke off was opened again. Its earlier log is there until
			// it is restarted once more; without it we go on.
			restarts, t.from = target.Restarts, opened
			_ = c.read(ctx, target, &corev1.PodLogOptions{Previous: true}, t)
		}
		before := t.marked
		opened = t.from
		err := c.read(ctx, target, &corev1.PodLogOptions{Follow: !target.Ended}, t)
		switch {
		case ctx.Err() != nil:
			return false
		case target.Ended && (err == nil || apierrors.IsNotFound(err)):
			c.lost(target, err)
			return c.sink.flush(ctx)
		case err != nil && !apierrors.IsBadRequest(err) && !apierrors.IsNotFound(err):
			c.log.Info("A log ended early and is opened again", "namespace", target.Trial.Namespace, "pod", target.Pod, "error", err.Error())
		}
		if t.marked.After(before) {
			wait = c.opts.Again
		}
		if !c.pause(ctx, wait, w.news) {
			return false
		}
	}
}

// lost tells that a pod was deleted before its log was read to the end.
func (c *Collector) lost(t Target, err error) {
	if err != nil {
		c.fault(t.Trial, "the pod "+t.Pod+" was deleted before its log was read to the end")
	}
}

// read makes one request for a log and reads it to its end.
func (c *Collector) read(ctx context.Context, target Target, opts *corev1.PodLogOptions, t *tail) error {
	opts.Container, opts.Timestamps = target.Container, true
	if !t.from.IsZero() {
		// The API has whole seconds here, rounded down.
		opts.SinceTime = &metav1.Time{Time: t.from.Add(-disorder).Truncate(time.Second)}
	}
	stream, err := c.logs.Pods(target.Trial.Namespace).GetLogs(target.Pod, opts).Stream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	// All of the last time read so far comes again, from its first line on: what was numbered begins anew.
	clear(t.number)
	lines := bufio.NewReaderSize(stream, 4096)
	for {
		line, long, err := next(lines, c.opts.Line)
		// A line that was cut off comes again whole.
		if err == nil || errors.Is(err, io.EOF) && len(line) > 0 && target.Ended {
			if long {
				c.fault(target.Trial, "a line of the log is longer than can be read, and its rest was passed over")
			}
			if !c.line(ctx, t, line) {
				return ctx.Err()
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// next reads a line without its end, and whether it was longer than the most that is kept of it. It is valid until the next call.
func next(from *bufio.Reader, most int) ([]byte, bool, error) {
	line, err := from.ReadSlice('\n')
	if err == nil {
		return line[:len(line)-1], false, nil
	}
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, false, err
	}
	whole, long := bytes.Clone(line), false
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = from.ReadSlice('\n')
		room := min(len(line), most-len(whole))
		whole, long = append(whole, line[:max(0, room)]...), long || room < len(line)
	}
	return bytes.TrimSuffix(whole, []byte("\n")), long, err
}

// line takes one line of a log; false when the context ended.
func (c *Collector) line(ctx context.Context, t *tail, line []byte) bool {
	stamp, text, _ := bytes.Cut(line, []byte(" "))
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return true
	}
	if at.After(t.from) {
		t.from = at
	}
	samples, faults := t.parser.Line(text, at)
	for _, f := range faults {
		c.fault(t.series.Trial, string(f))
	}
	// The time of the log is what makes a sample that is read twice the same one; a time in the line itself need not be unique.
	for i := range samples {
		samples[i].At = at
	}
	t.number.Number(samples)
	if len(samples) == 0 && at.Sub(t.marked) < markEvery {
		return true
	}
	t.marked = t.from
	return c.sink.put(ctx, item{series: t.series, samples: samples, read: t.from})
}
