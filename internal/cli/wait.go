// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// forever is longer than any job.
const forever = 100 * 365 * 24 * time.Hour

// wait waits until a job has got somewhere.
type wait struct {
	*Program
	goal    string
	timeout time.Duration
	format  format
}

// goals are what can be waited for, as questions to a job.
var goals = []struct {
	name    string
	reached func(*v1alpha1.TrainingJob) bool
}{
	{"succeeded", succeeded},
	{"running", started},
	{"finished", finished},
}

func goalNames() []string {
	var found []string
	for _, g := range goals {
		found = append(found, g.name)
	}
	return found
}

func newWait(p *Program) *cobra.Command {
	cmd := &wait{Program: p, format: asTable}
	c := &cobra.Command{
		Use:   "wait JOB",
		Short: "Wait until a job runs, has succeeded, or has finished",
		Long: `Wait until a job has succeeded (the default), runs with all its pods, or has finished either way.

On a terminal one line shows where the job is; elsewhere every change is a line of its own. A job that
fails, or that cannot go on without somebody's help, ends the wait at once. With -o yaml or json the
job is printed as the wait has left it, and progress goes to standard error.`,
		Example: `  mill wait digits --timeout 30m
  mill wait digits --for running && mill logs digits -f`,
		Args:              oneJob,
		ValidArgsFunction: p.completeJob,
		RunE:              func(c *cobra.Command, args []string) error { return cmd.run(c.Context(), jobName(args[0])) },
	}
	c.Flags().StringVar(&cmd.goal, "for", "succeeded", "what to wait for: "+strings.Join(goalNames(), ", "))
	c.Flags().DurationVar(&cmd.timeout, "timeout", 0, "how long to wait, such as 10m; 0 waits for ever")
	complete(c, "for", goalNames()...)
	addFormat(c, &cmd.format)
	return c
}

func (w *wait) run(ctx context.Context, name string) error {
	i := slices.Index(goalNames(), w.goal)
	if i < 0 {
		return usagef("--for %s: must be one of %s", w.goal, strings.Join(goalNames(), ", "))
	}
	if w.timeout < 0 {
		return usagef("--timeout %s: must not be negative; 0 waits for ever", w.timeout)
	}
	cluster, err := w.connect()
	if err != nil {
		return err
	}
	most := w.timeout
	if most == 0 {
		most = forever
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	job, err := cluster.job(ctx, name)
	if err != nil {
		return w.orTimeout(err, name, nil)
	}
	changes, err := cluster.jobChanges(ctx, name)
	if err != nil {
		return w.orTimeout(err, name, job)
	}
	job, err = w.watch(ctx, job, changes, waiting{reached: goals[i].reached, line: w.progress(), gone: cluster.noSuchJob(name)})
	if job == nil || w.format == asTable {
		return err
	}
	setKind(job)
	if writing := writeObject(w.Out, w.format, job); writing != nil {
		return writing
	}
	return err
}

// progress is where to tell how the job goes: beside the result when there is one.
func (w *wait) progress() *progressLine {
	out := w.Out
	if w.format != asTable {
		out = w.Err
	}
	return &progressLine{out: out, width: w.Width(out), painter: painter(w.colour(out)), now: w.Now}
}

// waiting is a goal, and where to tell of the way to it.
type waiting struct {
	reached func(*v1alpha1.TrainingJob) bool
	line    *progressLine
	// gone is the error of a job that was deleted.
	gone error
}

// watch follows the job to the end of the wait, and returns it as it is then; nil when it was deleted.
func (w *wait) watch(ctx context.Context, job *v1alpha1.TrainingJob, changes <-chan change, to waiting) (*v1alpha1.TrainingJob, error) {
	defer to.line.end()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		to.line.show(job)
		if over, err := to.decide(job); over {
			return job, err
		}
		select {
		case <-ctx.Done():
			return job, w.orTimeout(ctx.Err(), job.Name, job)
		case <-tick.C:
		case c, open := <-changes:
			if !open {
				return job, w.orTimeout(ctx.Err(), job.Name, job)
			}
			if c.deleted {
				return nil, to.gone
			}
			if next, ok := c.object.(*v1alpha1.TrainingJob); ok {
				job = next
			}
		}
	}
}

// decide is true when there is nothing left to wait for.
func (to waiting) decide(job *v1alpha1.TrainingJob) (bool, error) {
	switch {
	case to.reached(job):
		return true, nil
	case finished(job):
		return true, exit{code: ExitFailed, err: fmt.Errorf("%s failed: %s", job.Name, failureText(job))}
	case stalled(job):
		return true, exit{code: ExitFailed, err: fmt.Errorf("%s cannot go on: %s", job.Name, condition(job, v1alpha1.ConditionStalled).Message)}
	}
	return false, nil
}

// failureText is why a job failed, with the last lines of what did.
func failureText(job *v1alpha1.TrainingJob) string {
	text := condition(job, v1alpha1.ConditionSucceeded).Message
	if f := job.Status.Failure; f != nil && f.Message != "" {
		text += "\n" + strings.TrimRight(indented(strings.TrimRight(f.Message, "\n"), "  | "), "\n")
	}
	return text
}

// orTimeout gives the end of the time its exit code.
func (w *wait) orTimeout(err error, name string, job *v1alpha1.TrainingJob) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	where := "the cluster does not answer"
	if job != nil {
		where = fmt.Sprintf("%s, %s ready: %s", phase(job), ready(job), saying(job))
	}
	return exit{code: ExitTimeout, err: fmt.Errorf("%s has not come to %q within %s: %s", name, w.goal, w.timeout, where)}
}

// progressLine tells where a job is: on a terminal in one line that is written over and over, elsewhere in a line for
// every change.
type progressLine struct {
	out   io.Writer
	width int
	painter
	now  func() time.Time
	last string
}

func (l *progressLine) show(job *v1alpha1.TrainingJob) {
	rest := fmt.Sprintf("  %s ready", ready(job))
	if job.Status.RestartCount > 0 {
		rest += "  " + plural(int(job.Status.RestartCount), "restart")
	}
	said := "  " + oneLine(saying(job))
	if l.width == 0 {
		l.change(job.Name + "  " + phase(job) + rest + said)
		return
	}
	rest += "  " + short(lasted(job, l.now())) + said
	left := l.width - 1 - utf8.RuneCountInString(job.Name+"  "+phase(job))
	fmt.Fprintf(l.out, "\r\x1b[2K%s  %s%s", job.Name, l.phase(phase(job)), cut(rest, left))
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

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

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
