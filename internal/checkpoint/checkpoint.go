// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package checkpoint knows what pods tell of their checkpoints, and what a stop would cost a job. Everything in it is pure.
package checkpoint

import (
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/names"
)

// Mark is a checkpoint that was told of.
type Mark struct {
	// Time is when it was written.
	Time time.Time
	// Step is the step of the training when it was told of; nil when no step was told.
	Step *int64
	// Pod told of it; empty when it was the job.
	Pod string
}

// Last is the newest checkpoint that the annotations of a job and its pods tell of, or its status.
func Last(job *v1alpha1.TrainingJob, pods []corev1.Pod) (Mark, bool) {
	var last Mark
	if c := job.Status.Checkpoint; c != nil && c.LastTime != nil {
		last = Mark{Time: c.LastTime.Time, Step: c.Step, Pod: c.Pod}
	}
	last = newer(last, job, "")
	for i := range pods {
		last = newer(last, &pods[i], pods[i].Name)
	}
	return last, !last.Time.IsZero()
}

// newer is the mark in an object's annotations when it is newer than another. Of two of the same time the first to be told of stays,
// so that a step that goes on changes nothing.
func newer(than Mark, o metav1.Object, pod string) Mark {
	at, err := time.Parse(time.RFC3339, o.GetAnnotations()[names.Checkpoint])
	if err != nil || !at.After(than.Time) {
		return than
	}
	return Mark{Time: at, Step: Step(o), Pod: pod}
}

// Step is the step of the training that an object tells of, or nil.
func Step(o metav1.Object) *int64 {
	n, err := strconv.ParseInt(o.GetAnnotations()[names.Step], 10, 64)
	if err != nil || n < 0 {
		return nil
	}
	return &n
}

// AtRisk is the work that a job would lose if it were stopped now: the time since its last checkpoint, or since all of its pods
// ran. A job of which not all pods run does not work, and loses nothing.
func AtRisk(job *v1alpha1.TrainingJob, pods []corev1.Pod, now time.Time) time.Duration {
	since := Since(job, pods)
	if job.Status.RunningAttempt == nil || since.IsZero() {
		return 0
	}
	return max(0, now.Sub(since))
}

// Since is the time from which work is not saved: that of the last checkpoint, or since when all pods ran; zero when they never did.
func Since(job *v1alpha1.TrainingJob, pods []corev1.Pod) time.Time {
	var since time.Time
	if t := job.Status.RunningTime; t != nil {
		since = t.Time
	}
	main := mainsOf(job)
	for i := range pods {
		since = later(since, started(&pods[i], main[pods[i].Labels[names.Role]]))
	}
	if last, told := Last(job, pods); told {
		since = later(since, last.Time)
	}
	return since
}

// mainsOf are the names of the main containers, by the labels of the roles.
func mainsOf(job *v1alpha1.TrainingJob) map[string]string {
	found := map[string]string{}
	layout, known := framework.Resolve(job)
	if !known {
		return found
	}
	for i := range layout.Roles {
		found[names.Lower(layout.Roles[i].Name)] = layout.Roles[i].MainName()
	}
	return found
}

// started is when the main container of a pod began to run. A sidecar that was started again lost nobody's work.
func started(p *corev1.Pod, main string) time.Time {
	for _, c := range p.Status.ContainerStatuses {
		switch run, end := c.State.Running, c.State.Terminated; {
		case c.Name != main:
		case run != nil:
			return run.StartedAt.Time
		case end != nil:
			return end.StartedAt.Time
		}
	}
	return time.Time{}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
