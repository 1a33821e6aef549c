// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// logs prints the logs of a job's replicas.
type logs struct {
	*Program
	follow, previous, timestamps bool
	role, container              string
	index                        int
	tail                         int64
	since                        time.Duration
}

func newLogs(p *Program) *cobra.Command {
	cmd := &logs{Program: p}
	c := &cobra.Command{
		Use:               "logs JOB",
		Short:             "Print the logs of all replicas of a job, line by line",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: p.completeJob,
		RunE:              func(c *cobra.Command, args []string) error { return cmd.run(c.Context(), args[0]) },
	}
	f := c.Flags()
	f.BoolVarP(&cmd.follow, "follow", "f", false, "go on until the job has finished, with pods that start later")
	f.BoolVar(&cmd.previous, "previous", false, "print the log of the containers before their last restart")
	f.BoolVar(&cmd.timestamps, "timestamps", false, "begin every line with its time")
	f.StringVar(&cmd.role, "role", "", "only replicas of this role")
	f.IntVar(&cmd.index, "index", -1, "only replicas of this index")
	f.StringVarP(&cmd.container, "container", "c", "", "container; the framework's, or the first, when left out")
	f.Int64Var(&cmd.tail, "tail", -1, "number of last lines of each replica to begin with; -1 for all")
	f.DurationVar(&cmd.since, "since", 0, "only lines younger than this, such as 10m")
	p.completeRoles(c)
	return c
}

func (l *logs) run(ctx context.Context, name string) error {
	cluster, err := l.connect()
	if err != nil {
		return err
	}
	job, err := cluster.job(ctx, name)
	if err != nil {
		return err
	}
	s := &streams{logs: l, cluster: cluster, job: job, open: map[string]bool{}, painter: painter(l.colour(l.Out))}
	for _, r := range job.Spec.Roles {
		s.width = max(s.width, len(r.Name)+1+len(strconv.Itoa(max(0, replicas(job, r)-1))))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		if err := s.start(ctx); err != nil {
			return err
		}
		if !l.follow || finished(s.job) {
			break
		}
		if !pause(ctx, again) {
			return ctx.Err()
		}
		if s.job, err = cluster.job(ctx, name); err != nil {
			return err
		}
	}
	s.running.Wait()
	if l.follow {
		fmt.Fprintf(l.Err, "%s %s after %s\n", name, strings.ToLower(phase(s.job)), short(lasted(s.job, l.Now())))
	}
	return nil
}

// streams are the open logs of a job.
type streams struct {
	*logs
	cluster *Cluster
	job     *v1alpha1.TrainingJob
	width   int
	painter
	running sync.WaitGroup
	mu      sync.Mutex
	open    map[string]bool
}

// start opens the log of every container that has started and was not opened before.
func (s *streams) start(ctx context.Context) error {
	var pods corev1.PodList
	want := client.MatchingLabels{names.TrainingJob: s.job.Name}
	if s.role != "" {
		want[names.Role] = names.Lower(s.role)
	}
	if s.index >= 0 {
		want[names.Index] = strconv.Itoa(s.index)
	}
	if err := s.cluster.List(ctx, &pods, client.InNamespace(s.job.Namespace), want); err != nil {
		return err
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		container := s.container
		if container == "" {
			container = mainContainer(s.job, p)
		}
		run, started := runOf(p, container)
		key := fmt.Sprintf("%s/%s/%d", p.UID, container, run)
		if !started || s.open[key] {
			continue
		}
		s.open[key] = true
		s.running.Go(func() { s.print(ctx, p, container) })
	}
	return nil
}

// runOf is the number of a container's restarts, and whether it has anything to say yet.
func runOf(p *corev1.Pod, container string) (int32, bool) {
	for _, c := range p.Status.ContainerStatuses {
		if c.Name == container {
			return c.RestartCount, c.State.Running != nil || c.State.Terminated != nil
		}
	}
	return 0, false
}

func (s *streams) print(ctx context.Context, p *corev1.Pod, container string) {
	opts := &corev1.PodLogOptions{Container: container, Follow: s.follow, Previous: s.previous, Timestamps: s.timestamps}
	if s.tail >= 0 {
		opts.TailLines = &s.tail
	}
	if s.since > 0 {
		seconds := int64(s.since.Seconds())
		opts.SinceSeconds = &seconds
	}
	log, err := s.cluster.Logs(ctx, p.Namespace, p.Name, opts)
	if err != nil {
		fmt.Fprintf(s.Err, "%s: %s\n", replicaOf(p), explain(err))
		return
	}
	defer log.Close()
	colour := replicaColours[(roleOrder(s.job)[p.Labels[names.Role]]+indexOf(p))%len(replicaColours)]
	prefix := s.paint(colour, fmt.Sprintf("%-*s |", s.width, replicaOf(p)))
	reader := bufio.NewReader(log)
	for {
		line, err := reader.ReadString('\n')
		if line != "" {
			s.line(prefix, strings.TrimRight(line, "\r\n"))
		}
		if err == io.EOF || err != nil {
			return
		}
	}
}

func (s *streams) line(prefix, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A progress bar writes over itself; its last state is what a line can show.
	fmt.Fprintln(s.Out, prefix, text[strings.LastIndexByte(text, '\r')+1:])
}
