// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// lastWords is how long logs may be silent, and containers go on running, after the job has finished.
const lastWords = 3 * time.Second

// following is a job whose logs are printed as they come.
type following struct {
	*logs
	followers map[types.UID]*follower
	// done is sent to by each follower when it ends, of which open are left.
	done chan struct{}
	open int
	// newest is the job as it is now; the one of logs stays as it was.
	newest *v1alpha1.TrainingJob
}

// goOn prints lines as they come until the job has finished.
func (l *logs) goOn(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	pods, err := l.cluster.changes(ctx, &corev1.PodList{}, podsOf(l.job)...)
	if err != nil {
		return err
	}
	jobs, err := l.cluster.follow(ctx, kindOf("TrainingJob"), l.job.Name, false)
	if err != nil {
		return err
	}
	l.printer.progress = &progressLine{out: l.Err, width: l.Width(l.Err), painter: painter(l.colour(l.Err))}
	f := &following{logs: l, newest: l.job, followers: map[types.UID]*follower{}, done: make(chan struct{})}
	if err := f.untilFinished(ctx, pods, jobs); err != nil {
		return err
	}
	return f.end(ctx)
}

func (f *following) untilFinished(ctx context.Context, pods, jobs <-chan change) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-f.done:
			f.open--
		case c, more := <-pods:
			if p, isPod := c.object.(*corev1.Pod); more && isPod {
				f.tell(ctx, p, c.deleted)
			}
		case c, more := <-jobs:
			job, isJob := c.object.(*v1alpha1.TrainingJob)
			if !more || !isJob {
				continue
			}
			f.newest = job
			if c.deleted || finished(job) {
				return nil
			}
		}
		f.printer.show(jobProgress(f.newest, f.Now()))
	}
}

// tell passes on what is new of a pod. Its log is followed from the first time on.
func (f *following) tell(ctx context.Context, p *corev1.Pod, deleted bool) {
	if !f.chosen(p) {
		return
	}
	known := f.followers[p.UID]
	switch {
	case known == nil && !deleted:
		f.join(ctx, p)
	case known == nil || known.last:
	case deleted:
		known.hearNoMore()
	default:
		known.hear(p)
	}
}

func (f *following) join(ctx context.Context, p *corev1.Pod) {
	joined := &follower{
		containerLog: f.logOf(p), news: make(chan *corev1.Pod, 1), next: startOf(p, f.containerOf(p)).number,
	}
	joined.hear(p)
	f.followers[p.UID] = joined
	f.open++
	go func() {
		joined.run(ctx)
		select {
		case f.done <- struct{}{}:
		case <-ctx.Done():
		}
	}()
}

// end reads what is left to read, and says how the job ended. Followers learn how the pods ended, and that this was all.
func (f *following) end(ctx context.Context) error {
	if pods, err := f.pods(ctx); err == nil {
		for i := range pods {
			f.tell(ctx, &pods[i], false)
		}
	}
	for _, left := range f.followers {
		if !left.last {
			left.hearNoMore()
		}
	}
	if err := f.drain(ctx); err != nil {
		return err
	}
	job := f.newest
	if !finished(job) {
		f.printer.say("%s was deleted.", job.Name)
		return nil
	}
	f.printer.say("%s %s after %s. %s", job.Name, strings.ToLower(phase(job)), short(lasted(job, f.Now())), saying(job))
	return nil
}

// drain waits for the followers, as long as containers that have ended have more to tell.
func (f *following) drain(ctx context.Context) error {
	patience := time.NewTicker(lastWords)
	defer patience.Stop()
	for f.open > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.done:
			f.open--
		case <-patience.C:
			if !f.talks() {
				return nil
			}
		}
	}
	return nil
}

// talks is true when a container that has ended has told something since this was asked last.
func (f *following) talks() bool {
	talks := false
	for _, left := range f.followers {
		talks = left.lines.Swap(0) > 0 && left.ended || talks
	}
	return talks
}
