// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// get lists jobs, or shows one.
type get struct {
	*Program
	format format
	all    bool
	watch  bool
}

// kindWords are the words for the kinds that get knows. all means every one of them.
var kindWords = []string{"trainingjob", "trainingjobs", "tj", "all"}

func newGet(p *Program) *cobra.Command {
	cmd := &get{Program: p, format: asTable}
	c := &cobra.Command{
		Use:   "get [trainingjob|tj|all] [NAME]",
		Short: "List jobs, or show one with its timeline and the cause of its failure",
		Long: `List jobs, or show one: its timeline, its roles and pods, its conditions and, when something
failed, the root cause with the last lines the failing container wrote.

With -o yaml or json a list of jobs is one List, even of one; with NAME it is the object, as in kubectl.`,
		Example: `  mill get
  mill get digits
  mill get tj digits -o yaml
  mill get -A -w`,
		Args:              cobra.MaximumNArgs(2),
		ValidArgsFunction: p.completeGet,
		RunE: func(c *cobra.Command, args []string) error {
			name, err := nameOf(args)
			if err != nil {
				return err
			}
			return cmd.run(c.Context(), name)
		},
	}
	c.Flags().BoolVarP(&cmd.all, "all-namespaces", "A", false, "list jobs of all namespaces")
	c.Flags().BoolVarP(&cmd.watch, "watch", "w", false, "go on and print every job that changes")
	addFormat(c, &cmd.format)
	return c
}

// nameOf takes the kind away from the arguments; a single word that is no kind is a name.
func nameOf(args []string) (string, error) {
	if len(args) > 0 && slices.Contains(kindWords, strings.ToLower(args[0])) {
		args = args[1:]
	}
	switch len(args) {
	case 0:
		return "", nil
	case 1:
		return jobName(args[0]), nil
	}
	return "", usagef("unknown kind %q; known: %s", args[0], strings.Join(kindWords, ", "))
}

func (g *get) run(ctx context.Context, name string) error {
	if name != "" && g.all {
		return usagef("a name goes with one namespace: leave out -A, or use -n")
	}
	cluster, err := g.connect()
	if err != nil {
		return err
	}
	if g.watch {
		return g.follow(ctx, cluster, name)
	}
	if name != "" {
		return g.one(ctx, cluster, name)
	}
	var jobs v1alpha1.TrainingJobList
	if err := cluster.List(ctx, &jobs, g.where(cluster)...); err != nil {
		return err
	}
	if g.format != asTable {
		return writeList(g.Out, g.format, pointers(jobs.Items))
	}
	if len(jobs.Items) == 0 {
		fmt.Fprintln(g.Err, "No jobs"+g.place(cluster)+".")
		return nil
	}
	t := g.table()
	for i := range jobs.Items {
		t.add(g.row(&jobs.Items[i])...)
	}
	t.write(g.Out, "")
	return nil
}

func (g *get) where(cluster *Cluster) []client.ListOption {
	if g.all {
		return nil
	}
	return []client.ListOption{client.InNamespace(cluster.Namespace)}
}

func (g *get) place(cluster *Cluster) string {
	if g.all {
		return ""
	}
	return fmt.Sprintf(" in namespace %q", cluster.Namespace)
}

// pointers are the jobs as objects that know their kind, which a list leaves out.
func pointers(jobs []v1alpha1.TrainingJob) []runtime.Object {
	objects := make([]runtime.Object, len(jobs))
	for i := range jobs {
		setKind(&jobs[i])
		objects[i] = &jobs[i]
	}
	return objects
}

func setKind(job *v1alpha1.TrainingJob) {
	job.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("TrainingJob"))
}

func (g *get) table() *table {
	t := &table{header: []string{"NAME", "FRAMEWORK", "PHASE", "READY", "RESTARTS", "AGE"}}
	if g.all {
		t.header = append([]string{"NAMESPACE"}, t.header...)
	}
	t.paint = painter(g.colour(g.Out)).cells
	return t
}

func (g *get) row(job *v1alpha1.TrainingJob) []string {
	row := []string{job.Name, string(job.Spec.Framework), phase(job), ready(job), fmt.Sprint(job.Status.RestartCount), age(job, g.Now())}
	if g.all {
		row = append([]string{job.Namespace}, row...)
	}
	return row
}

func (g *get) one(ctx context.Context, cluster *Cluster, name string) error {
	job, err := cluster.job(ctx, name)
	if err != nil {
		return err
	}
	if g.format != asTable {
		setKind(job)
		return writeObject(g.Out, g.format, job)
	}
	var pods corev1.PodList
	if err := cluster.List(ctx, &pods, podsOf(job)...); err != nil {
		return err
	}
	view := view{job: job, pods: pods.Items, now: g.Now(), painter: painter(g.colour(g.Out))}
	view.write(g.Out)
	return nil
}

// follow prints a line for every job there is, and for every change of one.
func (g *get) follow(ctx context.Context, cluster *Cluster, name string) error {
	opts := g.where(cluster)
	if name != "" {
		if _, err := cluster.job(ctx, name); err != nil {
			return err
		}
		opts = append(opts, client.MatchingFields{"metadata.name": name})
	}
	changes, err := cluster.changes(ctx, &v1alpha1.TrainingJobList{}, opts...)
	if err != nil {
		return err
	}
	lines := &liveTable{table: g.table(), last: map[client.ObjectKey]string{}}
	for c := range changes {
		job, ok := c.object.(*v1alpha1.TrainingJob)
		if !ok {
			continue
		}
		if err := g.show(lines, job, c.deleted); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (g *get) show(lines *liveTable, job *v1alpha1.TrainingJob, deleted bool) error {
	if g.format != asTable {
		setKind(job)
		if g.format == asYAML {
			fmt.Fprintln(g.Out, "---")
		}
		return writeObject(g.Out, g.format, job)
	}
	row := g.row(job)
	if deleted {
		row[len(row)-4] = "Deleted"
	}
	lines.write(g.Out, client.ObjectKeyFromObject(job), row)
	return nil
}
