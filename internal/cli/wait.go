// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	conditions "github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/names"
)

// forever is longer than any job.
const forever = 100 * 365 * 24 * time.Hour

// wait waits until an object has got somewhere.
type wait struct {
	*Program
	goal    string
	timeout time.Duration
	format  format
}

// goal is something to wait for.
type goal struct {
	name    string
	reached func(item) bool
	// of is true of the kinds it is a goal of.
	of func(kind) bool
}

// goals are what can be waited for by a word; the first one that goes with a kind is the default. deleted is never reached: the object goes.
var goals = []goal{
	{"succeeded", func(o item) bool { return succeeded(o) }, kind.finishes},
	{"ready", func(o item) bool { return is(o, v1alpha1.ConditionReady) }, func(k kind) bool { return !k.finishes() }},
	{"running", started, func(k kind) bool { return k.finishes() || k.Kind == "Notebook" }},
	{"finished", func(o item) bool { return finished(o) }, kind.finishes},
	{deleted, func(item) bool { return false }, func(kind) bool { return true }},
}

const deleted = "deleted"

// started is true once every pod of a job has run at the same time, or something of another kind runs, or it got to its end without.
func started(o item) bool {
	if job, isJob := o.Owner.(*v1alpha1.TrainingJob); isJob {
		return job.Status.RunningTime != nil || succeeded(o)
	}
	return is(o, v1alpha1.ConditionRunning) || succeeded(o)
}

// goalNames are the words for what can be waited for, of all kinds or of some.
func goalNames(of ...kind) []string {
	var found []string
	for _, g := range goals {
		if len(of) == 0 || slices.ContainsFunc(of, g.of) {
			found = append(found, g.name)
		}
	}
	return found
}

// goalOf finds the goal of a word, or of a condition as kubectl has it: condition=TYPE[=STATUS].
func goalOf(word string, k kind) (goal, error) {
	if condition, isOne := strings.CutPrefix(word, "condition="); isOne {
		kind, status, _ := strings.Cut(condition, "=")
		return goal{name: word, reached: func(o item) bool {
			return slices.ContainsFunc(o.GetConditions(), func(c metav1.Condition) bool {
				return strings.EqualFold(c.Type, kind) && strings.EqualFold(string(c.Status), cmp.Or(status, string(metav1.ConditionTrue)))
			})
		}}, nil
	}
	for _, g := range goals {
		if g.of(k) && (word == "" || word == g.name || word == "delete" && g.name == deleted) {
			return g, nil
		}
	}
	return goal{}, usagef("--for %s: must be one of %s, or condition=TYPE[=STATUS], of a %s", word, strings.Join(goalNames(k), ", "), k.names.Singular)
}

func newWait(p *Program) *cobra.Command {
	cmd := &wait{Program: p, format: asTable}
	c := &cobra.Command{
		Use:   "wait [KIND] NAME",
		Short: "Wait until a job runs, has succeeded, or has finished, or until another object is ready",
		Long: `Wait until a job, an experiment or a trial has succeeded (the default), runs, or has finished either way; until
an object of another kind is ready, or a notebook runs; or until one is deleted or has a condition, as with kubectl wait.

On a terminal one line shows where the object is; elsewhere every change is a line of its own. One that fails,
or that cannot go on without somebody's help, ends the wait at once. With -o yaml or json the object is
printed as the wait has left it, and progress goes to standard error.`,
		Example: `  mill wait digits --timeout 30m
  mill wait digits --for running && mill logs digits -f
  mill wait experiment/width --for finished
  mill wait notebook lab --for condition=Stopped`,
		Args: func(_ *cobra.Command, args []string) error {
			_, _, err := oneObject(p, args)
			return err
		},
		ValidArgsFunction: p.completeObject,
		RunE: func(c *cobra.Command, args []string) error {
			k, name, err := oneObject(p, args)
			if err != nil {
				return err
			}
			return cmd.run(c.Context(), k, name)
		},
	}
	c.Flags().StringVar(&cmd.goal, "for", "", "what to wait for: "+strings.Join(goalNames(kindOf("TrainingJob")), ", ")+"; ready of what does not finish, and running of a notebook; condition=TYPE[=STATUS]")
	c.Flags().DurationVar(&cmd.timeout, "timeout", 0, "how long to wait, such as 10m; 0 waits for ever")
	complete(c, "for", append(goalNames(), "condition=")...)
	addFormat(c, &cmd.format)
	return c
}

func (w *wait) run(ctx context.Context, k kind, name string) error {
	to, err := goalOf(w.goal, k)
	if err != nil {
		return err
	}
	if w.timeout < 0 {
		return usagef("--timeout %s: must not be negative; 0 waits for ever", w.timeout)
	}
	cluster, err := w.connect()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(w.timeout, forever))
	defer cancel()
	o, err := w.until(ctx, cluster, waiting{goal: to, kind: k, name: name, line: w.progress()})
	if o.Owner == nil || w.format == asTable {
		return err
	}
	if writing := writeDocument(w.Out, w.format, o.content); writing != nil {
		return writing
	}
	return err
}

// until waits, and returns the object as it is then; none when it was deleted.
func (w *wait) until(ctx context.Context, cluster *Cluster, to waiting) (item, error) {
	changes, deaf := cluster.follow(ctx, to.kind, to.name, false) // first: one that is deleted after it is read is told of
	o, err := cluster.item(ctx, to.kind, to.name)
	if to.goal.name == deleted && exitOf(err).code == ExitNotFound {
		return item{}, nil
	}
	if err == nil {
		err = deaf
	}
	if err != nil {
		return item{}, to.orTimeout(err, w.timeout, o)
	}
	defer to.line.end()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		to.line.show(progressOf(o, w.Now()))
		if over, err := to.decide(o); over {
			return o, err
		}
		select {
		case <-tick.C:
		case c, open := <-changes:
			switch {
			case !open:
				return o, to.orTimeout(ctx.Err(), w.timeout, o)
			case c.deleted && to.goal.name == deleted:
				return item{}, nil
			case c.deleted:
				return item{}, cluster.noSuch(to.kind, to.name)
			}
			if o, err = to.kind.item(c.object); err != nil {
				return item{}, err
			}
		}
	}
}

// progress is where to tell how it goes: beside the result when there is one.
func (w *wait) progress() *progressLine {
	out := w.Out
	if w.format != asTable {
		out = w.Err
	}
	return &progressLine{out: out, width: w.Width(out), painter: painter(w.colour(out))}
}

// waiting is an object, a goal, and where to tell of the way to it.
type waiting struct {
	goal goal
	kind kind
	name string
	line *progressLine
}

// decide is true when there is nothing left to wait for.
func (to waiting) decide(o item) (bool, error) {
	switch {
	case to.goal.name == deleted || !o.current():
		return false, nil
	case to.goal.reached(o):
		return true, nil
	case finished(o) && succeeded(o):
		return true, exit{code: ExitFailed, err: fmt.Errorf("%s has succeeded without coming to %q", to.name, to.goal.name)}
	case finished(o):
		return true, exit{code: ExitFailed, err: fmt.Errorf("%s failed: %s", to.name, failureText(o))}
	case is(o, v1alpha1.ConditionStalled):
		return true, exit{code: ExitFailed, err: fmt.Errorf("%s cannot go on: %s", to.name, conditions.Get(o, v1alpha1.ConditionStalled).Message)}
	}
	return false, nil
}

// current is true when the status is of what is wanted now: of the newest spec, and of no stop that was taken back, for which an annotation may
// stand that moves no generation.
func (o item) current() bool {
	nb, is := o.Owner.(*v1alpha1.Notebook)
	if !is || conditions.Get(o, v1alpha1.ConditionReady).Reason != v1alpha1.ReasonStopped {
		return o.observed()
	}
	_, annotated := nb.Annotations[names.Stopped]
	return o.observed() && (annotated || nb.Spec.Stopped != nil && *nb.Spec.Stopped)
}

// failureText is why something failed, of a job with the last lines of what did.
func failureText(o item) string {
	text := conditions.Get(o, v1alpha1.ConditionSucceeded).Message
	if job, isJob := o.Owner.(*v1alpha1.TrainingJob); isJob && job.Status.Failure != nil && job.Status.Failure.Message != "" {
		text += "\n" + strings.TrimRight(indented(strings.TrimRight(job.Status.Failure.Message, "\n"), "  | "), "\n")
	}
	return text
}

// orTimeout gives the end of the time its exit code.
func (to waiting) orTimeout(err error, after time.Duration, o item) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	where := "the cluster does not answer"
	if o.Owner != nil {
		now := progressOf(o, time.Time{})
		where = strings.Join(slices.DeleteFunc([]string{now.phase, now.counts}, func(s string) bool { return s == "" }), ", ") + ": " + now.said
	}
	return exit{code: ExitTimeout, err: fmt.Errorf("%s has not come to %q within %s: %s", to.name, to.goal.name, after, where)}
}

// progress is where an object is.
type progress struct {
	name, phase, counts, said string
	lasted                    time.Duration
}

// progressOf is where an object of any kind is.
func progressOf(o item, now time.Time) progress {
	switch of := o.Owner.(type) {
	case *v1alpha1.TrainingJob:
		return jobProgress(of, now)
	case *v1alpha1.Experiment:
		return progress{of.Name, o.phase(), progressOfTrials(of) + " trials", oneLine(saying(o)), max(0, now.Sub(of.CreationTimestamp.Time))}
	}
	return progress{o.GetName(), o.phase(), "", oneLine(saying(o)), max(0, now.Sub(o.GetCreationTimestamp().Time))}
}

func jobProgress(job *v1alpha1.TrainingJob, now time.Time) progress {
	counts := ready(job) + " ready"
	if job.Status.RestartCount > 0 {
		counts += "  " + plural(int(job.Status.RestartCount), "restart")
	}
	return progress{job.Name, phase(job), counts, oneLine(saying(job)), lasted(job, now)}
}

// progressLine tells where an object is: on a terminal in one line that is written over and over, elsewhere in a line for
// every change.
type progressLine struct {
	out   io.Writer
	width int
	painter
	last string
}

func (l *progressLine) show(p progress) {
	rest := ""
	if p.counts != "" {
		rest = "  " + p.counts
	}
	if l.width == 0 {
		l.change(p.name + "  " + p.phase + rest + "  " + p.said)
		return
	}
	rest += "  " + short(p.lasted) + "  " + p.said
	left := l.width - 1 - utf8.RuneCountInString(p.name+"  "+p.phase)
	fmt.Fprintf(l.out, "\r\x1b[2K%s  %s%s", p.name, l.phase(p.phase), cut(rest, left))
	l.last = rest
}

func (l *progressLine) change(text string) {
	if text != l.last {
		fmt.Fprintln(l.out, text)
		l.last = text
	}
}

// end leaves the last state standing.
func (l *progressLine) end() {
	if l.width > 0 && l.last != "" {
		fmt.Fprintln(l.out)
		l.last = ""
	}
}

func oneLine(text string) string { return printable(strings.Join(strings.Fields(text), " ")) }

// cut shortens text to a number of columns.
func cut(text string, columns int) string {
	runes := []rune(text)
	if len(runes) <= columns {
		return text
	}
	if columns < 1 {
		return ""
	}
	return string(runes[:columns-1]) + "…"
}
