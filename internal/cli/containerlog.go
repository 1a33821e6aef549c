// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// containerLog is the log of one container of one pod, and how far it has been read.
type containerLog struct {
	*logs
	cursor
	pod *corev1.Pod
}

func (l *logs) logOf(p *corev1.Pod) containerLog {
	s := containerLog{logs: l, pod: p, cursor: cursor{seen: map[string]int{}}}
	if l.since > 0 {
		s.second = l.Now().Add(-l.since).Truncate(time.Second)
	}
	return s
}

// reading says which log to read: to follow it, or the one before the last restart.
type reading struct{ follow, previous bool }

// read reads on where the last read has ended, to the end of the log. No line is given twice.
func (s *containerLog) read(ctx context.Context, how reading, each func(line)) error {
	opts := &corev1.PodLogOptions{Container: s.containerOf(s.pod), Follow: how.follow, Previous: how.previous, Timestamps: true}
	if s.tail >= 0 && !s.begun {
		opts.TailLines = &s.tail
	}
	if s.resume(); !s.second.IsZero() {
		opts.SinceTime = new(metav1.NewTime(s.second))
	}
	log, err := s.cluster.Logs(ctx, s.pod.Namespace, s.pod.Name, opts)
	if err != nil {
		return err
	}
	defer log.Close()
	if s.tail == 0 && !s.begun {
		s.begun, s.second = true, s.Now().Truncate(time.Second)
	}
	// What is written at this moment comes whole with the next read.
	return scan(log, !how.follow, func(text string) {
		if l := s.line(text); s.fresh(l) {
			each(l)
		}
	})
}

// line takes the time off a line that the kubelet has put there.
func (s *containerLog) line(text string) line {
	stamp, rest, _ := strings.Cut(text, " ")
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil {
		return line{replica: replicaOf(s.pod), text: text}
	}
	return line{at: at, stamp: stamp, replica: replicaOf(s.pod), text: rest}
}

// cursor is a place in a log. The API server can be asked for the lines from a second on, no finer, so that a new
// connection repeats those of the second the last one ended in.
type cursor struct {
	// begun is true once anything was read.
	begun bool
	// second is that of the newest line, or the one to begin with, and resumed where the connection has begun.
	second, resumed time.Time
	// seen counts the lines of that second by their text, and owed those of them that the connection will repeat.
	seen, owed map[string]int
}

// resume prepares for a new connection.
func (c *cursor) resume() { c.resumed, c.owed = c.second, maps.Clone(c.seen) }

// fresh is true for a line that has not been read before.
func (c *cursor) fresh(l line) bool {
	c.begun = true
	key := l.stamp + " " + l.text
	if c.owed[key] > 0 {
		c.owed[key]--
		return false
	}
	if !l.at.IsZero() && l.at.Before(c.resumed) {
		return false
	}
	if second := l.at.Truncate(time.Second); second.After(c.second) {
		c.second = second
		clear(c.seen)
	}
	c.seen[key]++
	return true
}

// start is one start of a container: the number of those before it, and how far it has got.
type start struct {
	number       int32
	begun, ended bool
}

// startOf is the newest start of a container that has a log.
func startOf(p *corev1.Pod, container string) start {
	c := statusOf(p, container)
	begun := c.State.Running != nil || c.State.Terminated != nil || c.LastTerminationState.Terminated != nil
	return start{number: c.RestartCount, begun: begun, ended: c.State.Running == nil}
}

// statusOf is the state of a container; empty when the kubelet has not looked at it.
func statusOf(p *corev1.Pod, container string) corev1.ContainerStatus {
	all := slices.Concat(p.Status.ContainerStatuses, p.Status.InitContainerStatuses, p.Status.EphemeralContainerStatuses)
	i := slices.IndexFunc(all, func(c corev1.ContainerStatus) bool { return c.Name == container })
	if i < 0 {
		return corev1.ContainerStatus{}
	}
	return all[i]
}

// containersOf are the names of the containers of a pod.
func containersOf(spec *corev1.PodSpec) []string {
	var found []string
	for _, c := range slices.Concat(spec.Containers, spec.InitContainers) {
		found = append(found, c.Name)
	}
	for _, c := range spec.EphemeralContainers {
		found = append(found, c.Name)
	}
	return found
}

// silence is why a pod has no log, which is no fault; empty when it has one.
func (l *logs) silence(p *corev1.Pod) string {
	container := l.containerOf(p)
	c := statusOf(p, container)
	switch {
	case l.previous && c.LastTerminationState.Terminated == nil:
		return "has no earlier log: its container has not been restarted"
	case l.previous, startOf(p, container).begun:
		return ""
	}
	why := "has no log yet: " + podStatus(p)
	if more := cmp.Or(oneLine(waitingMessage(c)), oneLine(unplaced(p))); more != "" {
		why += ": " + more
	}
	return why
}

func waitingMessage(c corev1.ContainerStatus) string {
	if c.State.Waiting == nil {
		return ""
	}
	return c.State.Waiting.Message
}

// unplaced is why a pod has no node, in the scheduler's words.
func unplaced(p *corev1.Pod) string {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c.Message
		}
	}
	return p.Status.Message
}

// unreadable words why a log could not be read. Not found is the pod here, or what the kubelet says of it.
func unreadable(err error) string {
	if apierrors.IsNotFound(err) {
		return strings.TrimSpace(err.Error())
	}
	return explain(err)
}
