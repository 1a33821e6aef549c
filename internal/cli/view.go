// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// view shows one object to a person.
type view struct {
	now time.Time
	painter
}

// part is a part of a view. One that writes nothing has no title either.
type part struct {
	title string
	write func(io.Writer)
}

func (v view) parts(w io.Writer, all []part) {
	for _, part := range all {
		var text strings.Builder
		part.write(&text)
		if text.Len() > 0 {
			fmt.Fprintf(w, "\n%s\n%s", v.paint(bold, part.title), text.String())
		}
	}
}

// jobView shows one job.
type jobView struct {
	view
	job  *v1alpha1.TrainingJob
	pods []corev1.Pod
}

func (v jobView) write(w io.Writer) {
	fmt.Fprintf(w, "%s  %s\n", v.paint(bold, v.job.Name), v.headline())
	if said := saying(v.job); said != "" {
		fmt.Fprintln(w, printable(said))
	}
	v.parts(w, []part{
		{"Timeline", v.timeline},
		{"Roles", v.roles},
		{"Pods", v.podTable},
		{"Conditions", func(w io.Writer) { v.conditions(w, v.job.Status.Conditions) }},
		{"Checkpoint", v.checkpoint},
		{"Nodes", v.nodes},
		{"Failure", v.failure},
	})
}

// headline is the job in a line, such as: PyTorch in default, Succeeded 3/3 after 1m42s.
func (v jobView) headline() string {
	job := v.job
	line := fmt.Sprintf("%s in namespace %s: %s, %s ready", job.Spec.Framework, job.Namespace, v.phase(phase(job)), ready(job))
	if job.Status.RestartCount > 0 {
		line += ", " + plural(int(job.Status.RestartCount), "restart")
	}
	switch {
	case finished(job):
		line += ", took " + short(lasted(job, v.now))
	case job.Status.StartTime != nil:
		line += ", active for " + short(lasted(job, v.now))
	}
	return line
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// moment is something that happened.
type moment struct {
	at   time.Time
	what string
}

// timeline lists what happened, with the time since the job was made.
func (v jobView) timeline(w io.Writer) {
	moments := v.moments()
	t := table{}
	for _, m := range moments {
		t.add(m.at.UTC().Format(time.DateTime), "+"+short(max(0, m.at.Sub(moments[0].at))), m.what)
	}
	t.write(w, "  ")
}

func (v jobView) moments() []moment {
	var found []moment
	add := func(at *metav1.Time, what string) {
		if at != nil && !at.IsZero() {
			found = append(found, moment{at.Time, what})
		}
	}
	st := v.job.Status
	add(&v.job.CreationTimestamp, "created")
	add(st.StartTime, "started")
	add(st.RunningTime, "all pods running")
	for _, r := range st.Restarts {
		if r.Cause != nil {
			add(r.Cause.Time, fmt.Sprintf("%s failed (%s): %s", r.Unit, times(r), cause(r.Cause)))
		}
	}
	if st.Failure != nil && !v.told(st.Failure) {
		add(st.Failure.Time, cause(st.Failure))
	}
	add(st.CompletionTime, "finished: "+phase(v.job))
	// What happened within the same second is told in the order of a job's life.
	slices.SortStableFunc(found, func(a, b moment) int { return a.at.Compare(b.at) })
	return found
}

// told is true when a failure is also the cause of a restart.
func (v jobView) told(f *v1alpha1.Failure) bool {
	return slices.ContainsFunc(v.job.Status.Restarts, func(r v1alpha1.Restart) bool {
		return r.Cause != nil && r.Cause.Pod == f.Pod && r.Cause.Time.Equal(f.Time)
	})
}

// times says how often a unit was restarted; its cause is that of the last time.
func times(r v1alpha1.Restart) string {
	var parts []string
	for _, part := range []struct {
		n    int32
		what string
	}{{r.Count, "counted"}, {r.InPlace, "in place"}, {r.Lost, "not counted"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	if len(parts) == 0 {
		return "not restarted"
	}
	return "restarts: " + strings.Join(parts, ", ")
}

func (v jobView) roles(w io.Writer) {
	t := table{header: []string{"ROLE", "WANTED", "PENDING", "RUNNING", "SUCCEEDED", "FAILED"}}
	for _, r := range v.job.Status.Roles {
		count := func(n int32) string { return strconv.Itoa(int(n)) }
		all := "-"
		if r.Replicas != nil {
			all = count(*r.Replicas)
		}
		t.add(r.Name, all, count(r.Pending), count(r.Running), count(r.Succeeded), count(r.Failed))
	}
	if len(t.rows) > 0 {
		t.write(w, "  ")
	}
}

func (v jobView) podTable(w io.Writer) {
	t := table{header: []string{"POD", "STATUS", "RESTARTS", "NODE", "AGE"}, paint: v.cells}
	order := roleOrder(v.job)
	pods := slices.Clone(v.pods)
	slices.SortFunc(pods, func(a, b corev1.Pod) int {
		return cmp.Or(cmp.Compare(order[a.Labels[names.Role]], order[b.Labels[names.Role]]), cmp.Compare(indexOf(&a), indexOf(&b)))
	})
	for i := range pods {
		p := &pods[i]
		t.add(p.Name, podStatus(p), strconv.Itoa(containerRestarts(p)+attemptOf(p)), cmp.Or(p.Spec.NodeName, "-"), age(p, v.now))
	}
	if len(t.rows) > 0 {
		t.write(w, "  ")
	}
}

func (v view) conditions(w io.Writer, all []metav1.Condition) {
	t := table{header: []string{"TYPE", "IS", "SINCE", "REASON", "MESSAGE"}}
	for _, c := range all {
		since := "-"
		if c.LastTransitionTime.Unix() > 0 {
			since = short(max(0, v.now.Sub(c.LastTransitionTime.Time)))
		}
		t.add(c.Type, string(c.Status), since, c.Reason, oneLine(c.Message))
	}
	if len(t.rows) > 0 {
		t.write(w, "  ")
	}
}

// failure shows the root cause with the last lines of what failed.
func (v jobView) failure(w io.Writer) {
	f := v.job.Status.Failure
	if f == nil {
		return
	}
	fmt.Fprintf(w, "  %s\n", v.paint(red, cause(f)))
	fmt.Fprint(w, indented(strings.TrimRight(f.Message, "\n"), "  | "))
}
