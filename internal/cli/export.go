// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace-ml/millrace/internal/study"
)

// export writes the trials of an experiment for other programs.
type export struct {
	*Program
	output string
}

func newExport(p *Program) *cobra.Command {
	cmd := &export{Program: p}
	c := &cobra.Command{
		Use:   "export NAME",
		Short: "Write all trials of an experiment as CSV or JSON",
		Args:  usageArgs(cobra.ExactArgs(1)),

		ValidArgsFunction: p.completeNames("experiment"),
		RunE:              func(c *cobra.Command, args []string) error { return cmd.run(c.Context(), args[0]) },
	}
	c.Flags().StringVarP(&cmd.output, "output", "o", "csv", "csv or json")
	complete(c, "output", "csv", "json")
	return c
}

func (x *export) run(ctx context.Context, name string) error {
	write, known := map[string]func(io.Writer, searched) error{"csv": writeCSV, "json": writeTrials}[x.output]
	if !known {
		return usagef("-o %s: use csv or json", x.output)
	}
	cluster, err := x.connect()
	if err != nil {
		return err
	}
	s, err := cluster.searched(ctx, name)
	if err != nil {
		return err
	}
	return write(x.Out, s)
}

func writeTrials(w io.Writer, s searched) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	if s.records == nil {
		s.records = []study.Record{}
	}
	return out.Encode(s.records)
}

// writeCSV writes a line for each trial: what it was, its parameters, and what was measured.
func writeCSV(w io.Writer, s searched) error {
	header := []string{"trial", "proposal", "phase", "started", "ended"}
	for _, p := range s.Spec.Parameters {
		header = append(header, p.Name)
	}
	metrics := make([]string, 0, len(s.Spec.Objectives)+len(s.Spec.Metrics))
	for _, o := range s.Spec.Objectives {
		metrics = append(metrics, o.Metric)
	}
	for _, m := range s.Spec.Metrics {
		metrics = append(metrics, m.Name)
	}
	out := csv.NewWriter(w)
	rows := [][]string{append(header, metrics...)}
	for _, r := range s.records {
		row := []string{r.Name, strconv.Itoa(r.Proposal), r.Phase, instant(r.Started), instant(r.Ended)}
		for _, p := range s.Spec.Parameters {
			row = append(row, r.Assignment[p.Name])
		}
		for _, m := range metrics {
			row = append(row, metricOf(r, m))
		}
		rows = append(rows, row)
	}
	if err := out.WriteAll(rows); err != nil {
		return fmt.Errorf("writing CSV: %w", err)
	}
	return nil
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}
