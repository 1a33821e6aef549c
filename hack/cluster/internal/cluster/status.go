// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
)

// Status writes a line for each process of the cluster, and says whether all that should run does.
func (c *Cluster) Status(ctx context.Context, out io.Writer) (bool, error) {
	if err := c.recall(); err != nil {
		return false, err
	}
	client, err := newClient(c.settings.PKI)
	if err != nil {
		client = http.DefaultClient // there are no certificates, so there is nothing to ask either
	}
	healthy := true
	lines := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(lines, "PROCESS\tPID\tSTATE\tLOG")
	for _, comp := range c.wanted() {
		record, runs := c.supervisor.Running(comp.name)
		pid, state := "-", "stopped"
		if runs {
			pid, state = fmt.Sprint(record.PID), "ready"
			if err := comp.isReady(ctx, client); err != nil {
				state = "not ready"
			}
		}
		healthy = healthy && state == "ready"
		fmt.Fprintf(lines, "%s\t%s\t%s\t%s\n", comp.name, pid, state, c.supervisor.Log(comp.name))
	}
	return healthy, lines.Flush()
}
