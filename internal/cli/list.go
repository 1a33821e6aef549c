// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
)

// lister lists objects: as one List for programs, as a table for people.
type lister struct {
	*Program
	format format
	all    bool
	// hint is said where there is nothing to list.
	hint string
}

// layout is the table of a kind, but for the column of names.
type layout struct {
	header []string
	row    func(item) []string
}

// addFlags adds -A to a command, and -o with wide where a table can be.
func (l *lister) addFlags(c *cobra.Command, wide bool) {
	c.Flags().BoolVarP(&l.all, "all-namespaces", "A", false, "list those of all namespaces")
	l.addFormat(c, wide)
}

func (l *lister) addFormat(c *cobra.Command, wide bool) {
	if !wide {
		addFormat(c, &l.format)
		return
	}
	c.Flags().VarP(further{&l.format, asWide}, "output", "o", "output format")
	complete(c, "output", append([]string{string(asWide)}, formats...)...)
}

// list lists all objects of kinds, each in a table of its own. Where there are several, one that is refused takes nothing from the others.
func (l *lister) list(ctx context.Context, cluster *Cluster, lay func(kind) layout, of ...kind) error {
	var objects []runtime.Object
	var tables []*table
	var failed []error
	for _, k := range of {
		items, err := cluster.items(ctx, k, l.all)
		if refused := apierrors.APIStatus(nil); err != nil && !errors.As(err, &refused) && !isUnserved(err) {
			return err
		}
		if err != nil {
			if failed = append(failed, fmt.Errorf("%s: %s", k.names.Plural, explain(err))); len(failed) == len(of) {
				return err
			}
			continue
		}
		t := l.table(k, lay(k))
		for _, o := range items {
			objects = append(objects, o.Owner)
			t.add(l.row(o, lay(k), len(of) > 1)...)
		}
		if len(items) > 0 {
			tables = append(tables, t)
		}
	}
	switch {
	case l.format == asYAML || l.format == asJSON:
		failed = append(failed, writeList(l.Out, l.format, objects))
	case len(tables)+len(failed) > 0:
		l.write(tables)
	default:
		l.none(cluster, of)
	}
	return errors.Join(failed...)
}

func (l *lister) write(tables []*table) {
	for i, t := range tables {
		if i > 0 {
			fmt.Fprintln(l.Out)
		}
		t.write(l.Out, "")
	}
}

// none says that there is nothing to list.
func (l *lister) none(cluster *Cluster, of []kind) {
	what, place := of[0].names.Plural, ""
	if len(of) > 1 {
		what = "objects of Millrace"
	}
	if len(cluster.where(of[0], l.all)) > 0 {
		place = fmt.Sprintf(" in namespace %q", cluster.Namespace)
	}
	fmt.Fprintf(l.Err, "No %s%s.%s\n", what, place, l.hint)
}

func (l *lister) table(k kind, lay layout) *table {
	header := append([]string{"NAME"}, lay.header...)
	if l.all && k.namespaced {
		header = slices.Insert(header, 0, "NAMESPACE")
	}
	return &table{header: header, paint: painter(l.colour(l.Out)).cells}
}

// row begins with the name, which has the kind before it where there are several.
func (l *lister) row(o item, lay layout, several bool) []string {
	name := o.GetName()
	if several {
		name = o.kind.names.Singular + "/" + name
	}
	row := append([]string{name}, lay.row(o)...)
	if l.all && o.kind.namespaced {
		row = slices.Insert(row, 0, o.GetNamespace())
	}
	return row
}
