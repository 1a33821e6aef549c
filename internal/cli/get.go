// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// get lists objects, or shows one.
type get struct {
	lister
	watch bool
}

func newGet(p *Program) *cobra.Command {
	cmd := &get{lister: lister{Program: p, format: asTable}}
	c := &cobra.Command{
		Use:   "get [KIND|all] [NAME]",
		Short: "List objects, or show one with its conditions and the cause of its failure",
		Long: `List objects of Millrace, or show one: its state, its conditions and, of a job, its timeline, its roles and pods,
and the root cause of a failure with the last lines the failing container wrote.

KIND is that of kubectl, such as experiments or exp, or several with commas; KIND/NAME is one object, and a name without
a kind that of a TrainingJob. "all" is every kind that is in namespaces. The columns are those of kubectl get.

With -o yaml or json several objects are one List, even of one; with NAME it is the object, as in kubectl.`,
		Example: `  mill get
  mill get digits
  mill get experiment/width -o yaml
  mill get notebooks,profiles -o wide
  mill get all -A
  mill get tj -w`,
		Args:              cobra.MaximumNArgs(2),
		ValidArgsFunction: p.completeObject,
		RunE: func(c *cobra.Command, args []string) error {
			of, name, err := refer(args)
			if err != nil {
				return err
			}
			return cmd.run(c.Context(), of, name)
		},
	}
	c.Flags().BoolVarP(&cmd.watch, "watch", "w", false, "go on and print every object that changes")
	cmd.addFlags(c, true)
	return c
}

func (g *get) run(ctx context.Context, of []kind, name string) error {
	switch {
	case name != "" && g.all:
		return usagef("a name goes with one namespace: leave out -A, or use -n")
	case g.watch && len(of) > 1:
		return usagef("-w follows one kind at a time")
	}
	cluster, err := g.connect()
	if err != nil {
		return err
	}
	switch {
	case g.watch:
		return g.follow(ctx, cluster, of[0], name)
	case name != "":
		return g.one(ctx, cluster, of[0], name)
	}
	return g.list(ctx, cluster, g.layout, of...)
}

func (g *get) layout(k kind) layout { return k.layout(g.format == asWide, g.Now()) }

func (g *get) one(ctx context.Context, cluster *Cluster, k kind, name string) error {
	o, err := cluster.item(ctx, k, name)
	if err != nil {
		return err
	}
	if g.format == asYAML || g.format == asJSON {
		return writeDocument(g.Out, g.format, o.content)
	}
	v := view{now: g.Now(), painter: painter(g.colour(g.Out))}
	switch of := o.Owner.(type) {
	case *v1alpha1.TrainingJob:
		var pods corev1.PodList
		if err := cluster.List(ctx, &pods, podsOf(of)...); err != nil {
			return err
		}
		jobView{v, of, pods.Items}.write(g.Out)
	case *v1alpha1.Experiment:
		s, err := cluster.searched(ctx, name)
		if err != nil {
			return err
		}
		return (&experiments{lister: g.lister}).text(g.Out, s)
	default:
		v.item(g.Out, o)
	}
	return nil
}

// item shows an object of any kind.
func (v view) item(w io.Writer, o item) {
	where := ""
	if o.kind.namespaced {
		where = " in namespace " + o.GetNamespace()
	}
	fmt.Fprintf(w, "%s  %s%s: %s\n", v.paint(bold, o.GetName()), o.kind.Kind, where, v.phase(o.phase()))
	if said := saying(o); said != "" {
		fmt.Fprintln(w, printable(said))
	}
	v.parts(w, []part{
		{"Conditions", func(w io.Writer) { v.conditions(w, o.GetConditions()) }},
		{"Status", func(w io.Writer) { fields(w, o, "status", "conditions", "observedGeneration", "phase") }},
		{"Spec", func(w io.Writer) { fields(w, o, "spec") }},
	})
}

// fields writes the fields of a part of an object, but for some.
func fields(w io.Writer, o item, of string, but ...string) {
	all, _, err := unstructured.NestedMap(o.content, of)
	maps.DeleteFunc(all, func(name string, _ any) bool { return slices.Contains(but, name) })
	if err != nil || len(all) == 0 {
		return
	}
	var text strings.Builder
	if err := writeDocument(&text, asYAML, all); err == nil {
		fmt.Fprint(w, indented(text.String(), "  "))
	}
}

// follow prints a line for every object there is, and for every change of one.
func (g *get) follow(ctx context.Context, cluster *Cluster, k kind, name string) error {
	if name != "" {
		if _, err := cluster.item(ctx, k, name); err != nil {
			return err
		}
	}
	changes, err := cluster.follow(ctx, k, name, g.all)
	if err != nil {
		return err
	}
	lines := &liveTable{table: g.table(k, g.layout(k)), last: map[client.ObjectKey]string{}}
	for c := range changes {
		o, err := k.item(c.object)
		if err != nil {
			return err
		}
		if err := g.show(lines, o, c.deleted); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (g *get) show(lines *liveTable, o item, deleted bool) error {
	if g.format == asYAML || g.format == asJSON {
		if g.format == asYAML {
			fmt.Fprintln(g.Out, "---")
		}
		return writeDocument(g.Out, g.format, o.content)
	}
	row := g.row(o, g.layout(o.kind), false)
	if deleted {
		row[stateColumn(lines.table.header)] = "Deleted"
	}
	lines.write(g.Out, client.ObjectKeyFromObject(o), row)
	return nil
}

// stateColumn is the column that tells of an object's state.
func stateColumn(header []string) int {
	for _, name := range []string{"PHASE", "READY"} {
		if i := slices.Index(header, name); i >= 0 {
			return i
		}
	}
	return len(header) - 1
}
