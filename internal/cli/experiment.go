// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	conditions "github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/study"
)

// experiments shows how a search goes.
type experiments struct {
	lister
	output string
	watch  bool
}

func newExperiment(p *Program) *cobra.Command {
	cmd := &experiments{lister: lister{Program: p, format: asTable}}
	c := &cobra.Command{
		Use:     "experiment [NAME]",
		Aliases: []string{"exp"},
		Short:   "List experiments, or show how one goes: its best trial, its trials and a plot",
		Long: `List experiments, or show how one goes: counts, the best trial, the best value so far, and its trials.

-o svg, html and png write a drawing: the best value of each objective so far, and the trials as lines over their
parameters and objectives. The page has a table of all trials too, and needs nothing else.`,
		Example: `  mill experiment
  mill experiment digits -w
  mill experiment digits -o html > digits.html
  mill experiment export digits -o csv > digits.csv`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: p.completeNames("experiment"),
		RunE:              func(c *cobra.Command, args []string) error { return cmd.run(c.Context(), args) },
	}
	c.Flags().StringVarP(&cmd.output, "output", "o", "text", "text, svg, html or png")
	c.Flags().BoolVarP(&cmd.watch, "watch", "w", false, "go on and show it again whenever it changes")
	complete(c, "output", "text", "svg", "html", "png")
	c.AddCommand(newExport(p))
	return c
}

// searched is an experiment and the records of all its trials, in the order of their proposals.
type searched struct {
	*v1alpha1.Experiment
	records []study.Record
}

func (e *experiments) run(ctx context.Context, args []string) error {
	write, known := map[string]func(io.Writer, searched) error{"text": e.text, "svg": writeSVG, "html": writeHTML, "png": writePNG}[e.output]
	if !known {
		return usagef("-o %s: use text, svg, html or png", e.output)
	}
	cluster, err := e.connect()
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return e.list(ctx, cluster, func(k kind) layout { return k.layout(false, e.Now()) }, kindOf("Experiment"))
	}
	if !e.watch {
		s, err := cluster.searched(ctx, args[0])
		if err != nil {
			return err
		}
		return write(e.Out, s)
	}
	changes, err := cluster.follow(ctx, kindOf("Experiment"), args[0], false)
	if err != nil {
		return err
	}
	if err := cluster.find(ctx, kindOf("Experiment"), args[0], &v1alpha1.Experiment{}); err != nil {
		return err
	}
	for range changes {
		s, err := cluster.searched(ctx, args[0])
		if err != nil {
			return err
		}
		if err := write(e.Out, s); err != nil {
			return err
		}
		fmt.Fprintln(e.Out)
		if conditions.Decided(s, v1alpha1.ConditionSucceeded) && s.Status.ObservedGeneration >= s.Generation {
			return nil
		}
	}
	return ctx.Err()
}

// searched reads an experiment and all its trials, those that are put away too.
func (c *Cluster) searched(ctx context.Context, name string) (searched, error) {
	s := searched{Experiment: &v1alpha1.Experiment{}}
	if err := c.find(ctx, kindOf("Experiment"), name, s.Experiment); err != nil {
		return s, err
	}
	mine := []client.ListOption{client.InNamespace(c.Namespace), client.MatchingLabels{names.Experiment: name}}
	var trials v1alpha1.TrialList
	var pages corev1.ConfigMapList
	if err := c.List(ctx, &trials, mine...); err != nil {
		return s, err
	}
	if err := c.List(ctx, &pages, mine...); err != nil {
		return s, err
	}
	known := map[int]bool{}
	for i := range pages.Items {
		records, _ := study.Decode(pages.Items[i].Data[study.PageKey]) // what is left out is told by the experiment
		for _, r := range records {
			known[r.Proposal] = true
			s.records = append(s.records, r)
		}
	}
	for i := range trials.Items {
		if r := study.RecordOf(&trials.Items[i]); !known[r.Proposal] {
			s.records = append(s.records, r)
		}
	}
	slices.SortFunc(s.records, func(a, b study.Record) int { return cmp.Compare(a.Proposal, b.Proposal) })
	return s, nil
}

// progressOfTrials is how many trials there were, of how many.
func progressOfTrials(x *v1alpha1.Experiment) string {
	if x.Spec.MaxTrials == 0 {
		return strconv.Itoa(int(x.Status.Trials.Created))
	}
	return fmt.Sprintf("%d/%d", x.Status.Trials.Created, x.Spec.MaxTrials)
}

func numberOf(n *int32) string {
	if n == nil {
		return "0"
	}
	return strconv.Itoa(int(*n))
}

// shown is how many trials the text shows.
const shown = 20

// text shows an experiment on a terminal.
func (e *experiments) text(w io.Writer, s searched) error {
	p := painter(e.colour(w))
	lines := headlines(s)
	fmt.Fprintf(w, "%s  %s\n%s\n\n", p.paint(bold, printable(s.Name)), printable(lines[0]), printable(strings.Join(lines[1:], "\n")))
	if f := s.Status.Failure; f != nil {
		fmt.Fprintf(w, "%s\n", p.paint(red, printable(fmt.Sprintf("the last %d trials failed alike, %s: %s", f.Trials, f.Example, f.Message))))
	}
	t := table{header: []string{"TRIAL", "PHASE"}, paint: p.cells}
	for _, o := range s.Spec.Objectives {
		if plot := terminalPlot(seriesOf(s, o), e.Width(w), p); plot != "" {
			fmt.Fprintf(w, "%s, best so far (*) and each trial (.)\n%s\n", printable(o.Metric), plot)
		}
		t.header = append(t.header, strings.ToUpper(o.Metric))
	}
	t.header = append(t.header, "PARAMETERS")
	for _, r := range s.records[max(len(s.records)-shown, 0):] {
		row := []string{r.Name, cmp.Or(r.Phase, v1alpha1.PhasePending)}
		for _, o := range s.Spec.Objectives {
			row = append(row, cmp.Or(metricOf(r, o.Metric), nothing))
		}
		parameters := assigned(r.Assignment)
		if columns := e.Width(w); columns > 0 {
			parameters = cut(parameters, max(columns-len(r.Name)-16-12*len(s.Spec.Objectives), 20))
		}
		t.add(append(row, parameters)...)
	}
	if len(t.rows) > 0 {
		t.write(w, "")
	}
	return nil
}

// headlines say how an experiment goes.
func headlines(s searched) []string {
	st := s.Status
	said := []string{
		fmt.Sprintf("%s in namespace %s: %s", s.Spec.Algorithm.Name, s.Namespace, cmp.Or(st.Phase, v1alpha1.PhasePending)),
		cmp.Or(conditions.Get(s, v1alpha1.ConditionSucceeded).Message, "Waiting for the manager."),
		fmt.Sprintf("trials %s: %s running, %s waiting, %s succeeded, %d stopped early, %s failed, %d without metrics, %d killed",
			progressOfTrials(s.Experiment), numberOf(st.Trials.Running), numberOf(st.Trials.Pending), numberOf(st.Trials.Succeeded),
			st.Trials.EarlyStopped, numberOf(st.Trials.Failed), st.Trials.MetricsUnavailable, st.Trials.Killed),
	}
	if st.EstimatedEndTime != nil {
		said = append(said, "ends about "+st.EstimatedEndTime.UTC().Format(time.DateTime))
	}
	for _, b := range s.Spec.Budget {
		if i := slices.IndexFunc(st.Used, func(u v1alpha1.ResourceHours) bool { return u.Resource == b.Resource }); i >= 0 {
			said = append(said, fmt.Sprintf("used   %s of %s hours of %s", st.Used[i].Hours, b.Hours, b.Resource))
		}
	}
	best := st.Pareto
	if len(best) == 0 && st.Best != nil {
		best = []v1alpha1.BestTrial{*st.Best}
	}
	for _, b := range best {
		said = append(said, strings.TrimRight(fmt.Sprintf("best   %s: %s with %s", b.Trial, valuesOf(b.Metrics), assigned(study.AssignmentOf(b.Assignments))), " "))
	}
	return said
}

func valuesOf(metrics []v1alpha1.MetricValue) string {
	var said []string
	for _, m := range metrics {
		said = append(said, m.Name+"="+m.Value)
	}
	return strings.Join(said, " ")
}

func metricOf(r study.Record, name string) string {
	for _, m := range r.Metrics {
		if m.Name == name {
			return m.Value
		}
	}
	return ""
}

func assigned(a map[string]string) string {
	var said []string
	for _, one := range study.Sorted(a) {
		said = append(said, one.Name+"="+*one.Value)
	}
	return strings.Join(said, " ")
}
