// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	conditions "github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/names"
)

// sinceVersion are the options of a watch that begins where a list ended.
func sinceVersion(version string) *metav1.ListOptions {
	return &metav1.ListOptions{ResourceVersion: version}
}

// podsOf selects the pods of a job.
func podsOf(job *v1alpha1.TrainingJob) []client.ListOption {
	return []client.ListOption{client.InNamespace(job.Namespace), client.MatchingLabels{names.TrainingJob: job.Name}}
}

// finished is true once something has succeeded or failed, which never changes again.
func finished(o conditions.Holder) bool { return conditions.Decided(o, v1alpha1.ConditionSucceeded) }

func succeeded(o conditions.Holder) bool { return is(o, v1alpha1.ConditionSucceeded) }

func is(o conditions.Holder, condition string) bool {
	return conditions.Get(o, condition).Status == metav1.ConditionTrue
}

// phase is the job's phase in a word.
func phase(job *v1alpha1.TrainingJob) string {
	if job.Status.Phase == "" {
		return v1alpha1.PhasePending
	}
	return job.Status.Phase
}

// ready is the job's count of ready pods, such as 2/3.
func ready(job *v1alpha1.TrainingJob) string {
	if job.Status.Ready == "" {
		return "0/" + fmt.Sprint(wanted(job))
	}
	return job.Status.Ready
}

// wanted is the number of pods a job has when all are there.
func wanted(job *v1alpha1.TrainingJob) int {
	total := 0
	for _, r := range job.Spec.Roles {
		total += replicas(job, r)
	}
	return total
}

func replicas(job *v1alpha1.TrainingJob, r v1alpha1.Role) int {
	if r.Replicas != nil {
		return int(*r.Replicas)
	}
	if e := framework.ElasticOf(job); e != nil && r.Name == "Worker" {
		return int(e.Replicas)
	}
	return 1
}

// saying is the message that tells best what a job, or another object, is doing, or why it is not.
func saying(o conditions.Holder) string {
	for _, ask := range []struct {
		condition string
		status    metav1.ConditionStatus
	}{
		{v1alpha1.ConditionAccepted, metav1.ConditionFalse},
		{v1alpha1.ConditionSucceeded, metav1.ConditionTrue},
		{v1alpha1.ConditionSucceeded, metav1.ConditionFalse},
		{v1alpha1.ConditionSuspended, metav1.ConditionTrue},
		{v1alpha1.ConditionRestarting, metav1.ConditionTrue},
		{v1alpha1.ConditionScheduled, metav1.ConditionFalse},
		{v1alpha1.ConditionReady, metav1.ConditionTrue},
		{v1alpha1.ConditionReady, metav1.ConditionFalse},
		{v1alpha1.ConditionRunning, metav1.ConditionTrue},
		{v1alpha1.ConditionRunning, metav1.ConditionFalse},
	} {
		if c := conditions.Get(o, ask.condition); c.Status == ask.status {
			return c.Message
		}
	}
	return "Waiting for the manager."
}

// lasted is how long a job has been active: until now, or to its end.
func lasted(job *v1alpha1.TrainingJob, now time.Time) time.Duration {
	from := job.CreationTimestamp.Time
	if job.Status.StartTime != nil {
		from = job.Status.StartTime.Time
	}
	if job.Status.CompletionTime != nil {
		now = job.Status.CompletionTime.Time
	}
	return max(0, now.Sub(from))
}

// short writes a duration in its two largest units, such as 1m42s or 3h5m.
func short(d time.Duration) string {
	d = d.Round(time.Second)
	days, hours, minutes, seconds := d/(24*time.Hour), d/time.Hour%24, d/time.Minute%60, d/time.Second%60
	switch {
	case days > 0:
		return fmt.Sprintf("%dd%dh", days, hours)
	case hours > 0:
		return fmt.Sprintf("%dh%dm", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%dm%ds", minutes, seconds)
	}
	return fmt.Sprintf("%ds", seconds)
}

// age is the time since an object was made.
func age(o metav1.Object, now time.Time) string {
	made := o.GetCreationTimestamp()
	if made.IsZero() {
		return "-"
	}
	return short(max(0, now.Sub(made.Time)))
}

// cause words a failure in one line, such as: pod digits-worker-0, container pytorch on node-1: exit code 137 (SIGKILL, OOMKilled).
func cause(f *v1alpha1.Failure) string {
	var who []string
	for _, part := range [][2]string{{"pod ", f.Pod}, {"container ", f.Container}, {"node ", f.Node}} {
		if part[1] != "" {
			who = append(who, part[0]+part[1])
		}
	}
	var what, why []string
	if f.ExitCode != nil {
		what = append(what, fmt.Sprintf("exit code %d", *f.ExitCode))
	}
	for _, word := range []string{f.Signal, f.Reason} {
		if word != "" && word != "Error" {
			why = append(why, word)
		}
	}
	if len(why) > 0 && len(what) == 0 {
		what, why = why, nil
	}
	text := strings.Join(who, ", ") + ": " + strings.Join(what, ", ")
	if len(why) > 0 {
		text += " (" + strings.Join(why, ", ") + ")"
	}
	return strings.Trim(text, ": ")
}

// mainContainer is the container of a pod whose end is the replica's.
func mainContainer(job *v1alpha1.TrainingJob, pod *corev1.Pod) string {
	row, _ := framework.Find(job.Spec.Framework)
	for _, c := range pod.Spec.Containers {
		if c.Name == row.Container {
			return c.Name
		}
	}
	if len(pod.Spec.Containers) == 0 {
		return ""
	}
	return pod.Spec.Containers[0].Name
}
