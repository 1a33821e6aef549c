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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
		Long: `Print the logs of all replicas of a job, in the order in which the lines were written.

With -f it goes on: replicas that start later or again are joined, until the job has finished.`,
		Example: `  mill logs digits
  mill logs digits -f
  mill logs digits --role Worker --index 1 --previous`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: p.completeJob,
		RunE:              func(c *cobra.Command, args []string) error { return cmd.run(c.Context(), args[0]) },
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
	if l.follow && l.previous {
		return usagef("--previous is a log that has ended: leave out -f")
	}
	var err error
	if l.cluster, err = l.connect(); err != nil {
		return err
	}
	if l.job, err = l.cluster.job(ctx, name); err != nil {
		return err
	}
	if err := l.known(); err != nil {
		return err
	}
	l.printer = &linePrinter{
		painter: painter(l.colour(l.Out)), out: l.Out, timestamps: l.timestamps, width: l.prefixWidth(), colours: map[string]int{},
	}
	if l.follow && !finished(l.job) {
		return l.followAll(ctx)
	}
	return l.printAll(ctx)
}

// known refuses a role that the job has not, rather than print nothing.
func (l *logs) known() error {
	var roles []string
	for _, r := range l.job.Spec.Roles {
		if l.role == "" || strings.EqualFold(r.Name, l.role) {
			return nil
		}
		roles = append(roles, r.Name)
	}
	return usagef("--role %s: the roles of %s are %s", l.role, l.job.Name, strings.Join(roles, ", "))
}

// prefixWidth fits the longest replica of the job.
func (l *logs) prefixWidth() int {
	width := 0
	for _, r := range l.job.Spec.Roles {
		width = max(width, len(fmt.Sprintf("%s-%d", r.Name, replicas(l.job, r)-1)))
	}
	return width
}

// printAll prints what there is, in the order in which it was written.
func (l *logs) printAll(ctx context.Context) error {
	var pods corev1.PodList
	if err := l.cluster.List(ctx, &pods, podsOf(l.job)...); err != nil {
		return err
	}
	var lines []line
	read := 0
	for i := range pods.Items {
		p := &pods.Items[i]
		if !l.readable(p) {
			continue
		}
		read++
		if err := l.stream(ctx, p, func(found line) { lines = append(lines, found) }); err != nil {
			return err
		}
	}
	if read == 0 {
		fmt.Fprintf(l.Err, "No such replica of %s has a log. %s\n", l.job.Name, saying(l.job))
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	for _, found := range lines {
		l.printer.print(found)
	}
	return nil
}

// lastWords is how long logs may take to end once the job has.
const lastWords = 3 * time.Second

// followAll prints lines as they come. A container is joined when it runs or has run, once for each start.
func (l *logs) followAll(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	pods, err := l.cluster.changes(ctx, &corev1.PodList{}, podsOf(l.job)...)
	if err != nil {
		return err
	}
	jobs, err := l.cluster.jobChanges(ctx, l.job.Name)
	if err != nil {
		return err
	}
	joined := map[string]bool{}
	var open sync.WaitGroup
	for {
		select {
		case c, more := <-pods:
			if !more {
				return ctx.Err()
			}
			if p, isPod := c.object.(*corev1.Pod); isPod && !c.deleted {
				l.join(ctx, p, joined, &open)
			}
		case c, more := <-jobs:
			job, isJob := c.object.(*v1alpha1.TrainingJob)
			if !more || c.deleted || isJob && finished(job) {
				await(ctx, &open, lastWords)
				return l.ended(job)
			}
		}
	}
}

// ended says how the job that was followed ended.
func (l *logs) ended(job *v1alpha1.TrainingJob) error {
	if job != nil && finished(job) {
		fmt.Fprintf(l.Err, "%s %s after %s. %s\n", job.Name, strings.ToLower(phase(job)), short(lasted(job, l.Now())), saying(job))
	}
	return nil
}

// join follows a container from its start, once.
func (l *logs) join(ctx context.Context, p *corev1.Pod, joined map[string]bool, open *sync.WaitGroup) {
	start := fmt.Sprintf("%s/%d", p.UID, containerRestarts(p))
	if joined[start] || !l.readable(p) {
		return
	}
	joined[start] = true
	open.Go(func() {
		if err := l.stream(ctx, p, l.printer.print); err != nil && ctx.Err() == nil {
			fmt.Fprintf(l.Err, "note: the log of %s broke off: %s\n", p.Name, explain(err))
		}
	})
}

// await waits for logs to end, but not for ever: a pod may outlive its job.
func await(ctx context.Context, open *sync.WaitGroup, most time.Duration) {
	ended := make(chan struct{})
	go func() {
		open.Wait()
		close(ended)
	}()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// readable is true for a replica the flags choose whose container has started, now or, for --previous, before.
func (l *logs) readable(p *corev1.Pod) bool {
	if l.role != "" && p.Labels[names.Role] != names.Lower(l.role) || l.index >= 0 && indexOf(p) != l.index {
		return false
	}
	for _, c := range slices.Concat(p.Status.ContainerStatuses, p.Status.InitContainerStatuses) {
		if c.Name != l.containerOf(p) {
			continue
		}
		if l.previous {
			return c.LastTerminationState.Terminated != nil
		}
		return c.State.Waiting == nil || c.LastTerminationState.Terminated != nil
	}
	return false
}

func (l *logs) containerOf(p *corev1.Pod) string {
	if l.container != "" {
		return l.container
	}
	return mainContainer(l.job, p)
}

// stream reads a container's log to its end.
func (l *logs) stream(ctx context.Context, p *corev1.Pod, each func(line)) error {
	opts := &corev1.PodLogOptions{Container: l.containerOf(p), Follow: l.follow, Previous: l.previous, Timestamps: true}
	if l.tail >= 0 {
		opts.TailLines = &l.tail
	}
	if l.since > 0 {
		opts.SinceTime = new(metav1.NewTime(l.Now().Add(-l.since)))
	}
	log, err := l.cluster.Logs(ctx, p.Namespace, p.Name, opts)
	if err != nil {
		return fmt.Errorf("reading the log of %s: %w", p.Name, err)
	}
	err = scan(log, func(text string) {
		stamp, rest, _ := strings.Cut(text, " ")
		at, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil {
			rest = text
		}
		each(line{at: at, stamp: stamp, replica: replicaOf(p), text: rest})
	})
	if closing := log.Close(); err == nil {
		err = closing
	}
	return err
}
