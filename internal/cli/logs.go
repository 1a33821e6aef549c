// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// logs is mill logs.
type logs struct {
	*Program
	follow, previous, timestamps bool
	role, container              string
	index                        int
	tail                         int64
	since                        time.Duration

	job     *v1alpha1.TrainingJob
	cluster *Cluster
	printer *linePrinter
}

func newLogs(p *Program) *cobra.Command {
	cmd := &logs{Program: p}
	c := &cobra.Command{
		Use:   "logs JOB",
		Short: "Print the logs of all replicas of a job, each line with its replica",
		Long: `Print the logs of all replicas of a job, in the order in which the lines were written. A replica that
has not started is told of on standard error; one whose log cannot be read as well, with exit code 1
once everything else is printed.

With -f it goes on: replicas that start later or again are joined, and connections that break are
opened again where they broke, until the job has finished.`,
		Example: `  mill logs digits
  mill logs digits -f
  mill logs digits --role Worker --index 1 --previous`,
		Args:              oneJob,
		ValidArgsFunction: p.completeNames(trainingJob),
		RunE:              func(c *cobra.Command, args []string) error { return cmd.run(c.Context(), jobName(args[0])) },
	}
	f := c.Flags()
	f.BoolVarP(&cmd.follow, "follow", "f", false, "go on until the job has finished")
	f.StringVar(&cmd.role, "role", "", "replicas of this role only")
	f.IntVar(&cmd.index, "index", -1, "the replica of this index only")
	f.StringVarP(&cmd.container, "container", "c", "", "container; the main one when left out")
	f.Int64Var(&cmd.tail, "tail", -1, "lines of each replica from the end; all when -1")
	f.DurationVar(&cmd.since, "since", 0, "lines younger than this only, such as 5m")
	f.BoolVar(&cmd.previous, "previous", false, "the log before the container's last restart")
	f.BoolVar(&cmd.timestamps, "timestamps", false, "begin each line with its time")

	p.completeRoles(c)
	return c
}

func (l *logs) run(ctx context.Context, name string) error {
	if err := l.sensible(); err != nil {
		return err
	}
	var err error
	if l.cluster, err = l.connect(); err != nil {
		return err
	}
	if l.job, err = l.cluster.job(ctx, name); err != nil {
		return err
	}
	if err := l.known(ctx); err != nil {
		return err
	}
	l.printer = &linePrinter{
		painter: painter(l.colour(l.Out)), out: l.Out, err: l.Err,
		timestamps: l.timestamps, width: l.prefixWidth(), colours: map[string]int{},
	}
	if l.follow && !finished(l.job) {
		return l.goOn(ctx)
	}
	return l.printAll(ctx)
}

// sensible refuses flags that mean nothing.
func (l *logs) sensible() error {
	switch {
	case l.follow && l.previous:
		return usagef("--previous is a log that has ended: leave out -f")
	case l.index < -1:
		return usagef("--index %d: indexes count from 0", l.index)
	case l.tail < -1:
		return usagef("--tail %d: must be a number of lines, or -1 for all", l.tail)
	case l.since < 0:
		return usagef("--since %s: must not be negative", l.since)
	}
	return nil
}

// known refuses a role or a container that the job has not, rather than print nothing.
func (l *logs) known(ctx context.Context) error {
	var roles, containers []string
	for _, r := range l.job.Spec.Roles {
		roles = append(roles, r.Name)
		if l.role == "" || strings.EqualFold(r.Name, l.role) {
			containers = append(containers, containersOf(&r.Template.Spec)...)
		}
	}
	if l.role != "" && !slices.ContainsFunc(roles, func(r string) bool { return strings.EqualFold(r, l.role) }) {
		return usagef("--role %s: the roles of %s are %s", l.role, l.job.Name, strings.Join(roles, ", "))
	}
	if l.container == "" || slices.Contains(containers, l.container) {
		return nil
	}
	// Others may have put containers into the pods.
	pods, err := l.pods(ctx)
	if err != nil {
		return err
	}
	for i := range pods {
		containers = append(containers, containersOf(&pods[i].Spec)...)
	}
	if slices.Contains(containers, l.container) {
		return nil
	}
	slices.Sort(containers)
	return usagef("--container %s: the containers of %s are %s", l.container, l.job.Name, strings.Join(slices.Compact(containers), ", "))
}

// pods are the replicas the flags choose.
func (l *logs) pods(ctx context.Context) ([]corev1.Pod, error) {
	var pods corev1.PodList
	err := l.cluster.List(ctx, &pods, podsOf(l.job)...)
	return slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return !l.chosen(&p) }), err
}

// chosen is true for a replica that the flags choose.
func (l *logs) chosen(p *corev1.Pod) bool {
	return (l.role == "" || p.Labels[names.Role] == names.Lower(l.role)) && (l.index < 0 || indexOf(p) == l.index)
}

func (l *logs) containerOf(p *corev1.Pod) string {
	if l.container != "" {
		return l.container
	}
	return mainContainer(l.job, p)
}

// prefixWidth fits the longest replica of the job.
func (l *logs) prefixWidth() int {
	width := 0
	for _, r := range l.job.Spec.Roles {
		width = max(width, len(fmt.Sprintf("%s-%d", r.Name, replicas(l.job, r)-1)))
	}
	return width
}

// printAll prints what there is, in the order in which it was written, and then says what there is not.
func (l *logs) printAll(ctx context.Context) error {
	pods, err := l.pods(ctx)
	if err != nil {
		return err
	}
	var lines []line
	var notes, faults []string
	for i, found := range l.readAll(ctx, pods) {
		lines = append(lines, found.lines...)
		if found.silence != "" {
			notes = append(notes, pods[i].Name+" "+found.silence)
		}
		if found.err != nil {
			faults = append(faults, fmt.Sprintf("the log of %s cannot be read: %s", pods[i].Name, unreadable(found.err)))
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	for _, found := range lines {
		l.printer.print(found)
	}
	if len(pods) == 0 {
		l.printer.say("No pod of %s%s. %s", l.job.Name, l.choice(), saying(l.job))
	}
	return l.missing(notes, faults)
}

// readAtOnce is how many logs are read at the same time.
const readAtOnce = 16

// harvest is what was read of a log, and why it is not all.
type harvest struct {
	lines   []line
	silence string
	err     error
}

func (l *logs) readAll(ctx context.Context, pods []corev1.Pod) []harvest {
	found := make([]harvest, len(pods))
	var all sync.WaitGroup
	free := make(chan struct{}, readAtOnce)
	for i := range pods {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			found[i] = l.readOne(ctx, &pods[i])
		})
	}
	all.Wait()
	return found
}

func (l *logs) readOne(ctx context.Context, p *corev1.Pod) harvest {
	if why := l.silence(p); why != "" {
		return harvest{silence: why}
	}
	var found harvest
	log := l.logOf(p)
	found.err = log.read(ctx, reading{previous: l.previous}, func(l line) { found.lines = append(found.lines, l) })
	return found
}

// choice words what the flags choose.
func (l *logs) choice() string {
	var parts []string
	if l.role != "" {
		parts = append(parts, "of role "+l.role)
	}
	if l.index >= 0 {
		parts = append(parts, fmt.Sprintf("of index %d", l.index))
	}
	if len(parts) == 0 {
		return " is there"
	}
	return " is " + strings.Join(parts, " and ")
}

// missing says what could not be printed. Only a log that is there and cannot be read is an error.
func (l *logs) missing(notes, faults []string) error {
	for _, note := range notes {
		l.printer.say("note: %s", note)
	}
	for _, fault := range faults {
		l.printer.say("%s: %s", l.Name, fault)
	}
	if len(faults) > 0 {
		return exit{code: ExitError}
	}
	return nil
}
