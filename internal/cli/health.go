// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/millrace-ml/millrace/internal/checkpoint"
)

// checkpoint shows the last checkpoint, what a stop would cost now, and what stops have cost.
func (v jobView) checkpoint(w io.Writer) {
	if last, told := checkpoint.Last(v.job, v.pods); told {
		line := "the last " + short(max(0, v.now.Sub(last.Time))) + " ago"
		if last.Step != nil {
			line += fmt.Sprintf(", step %d", *last.Step)
		}
		fmt.Fprintf(w, "  %s, told by %s\n", line, cmp.Or(last.Pod, "the job"))
	}
	if risk := checkpoint.AtRisk(v.job, v.pods, v.now); risk > 0 && !finished(v.job) {
		fmt.Fprintf(w, "  %s of work at risk\n", short(risk))
	}
	if c := v.job.Status.Checkpoint; c != nil && c.LostSeconds > 0 {
		fmt.Fprintf(w, "  %s of work lost in stops\n", short(time.Duration(c.LostSeconds)*time.Second))
	}
}

// nodes shows what the job has against nodes.
func (v jobView) nodes(w io.Writer) {
	t := table{header: []string{"NODE", "VERDICT", "REASON", "FOR", "EVIDENCE"}}
	for _, n := range v.job.Status.Nodes {
		since := "-"
		if n.Since != nil {
			since = short(max(0, v.now.Sub(n.Since.Time)))
		}
		t.add(n.Name, string(n.Verdict), n.Reason, since, n.Evidence)
	}
	if len(t.rows) > 0 {
		t.write(w, "  ")
	}
}
