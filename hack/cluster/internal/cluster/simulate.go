// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"strings"
)

// simulate makes simulated nodes 0 to count-1, each with eight GPUs. What runs on them is played by KWOK; a taint keeps
// real pods away. Nodes beyond count are left alone: pods may be on them.
func (c *Cluster) simulate(ctx context.Context, count int) error {
	if count == 0 {
		return nil
	}
	var manifests []string
	for i := range count {
		text, err := render("kwok/node.yaml", struct{ Name string }{fmt.Sprintf("simulated-%d", i)})
		if err != nil {
			return err
		}
		manifests = append(manifests, text)
	}
	err := c.console.Step(fmt.Sprintf("Making %d simulated nodes", count), func() error {
		return c.applyChanged(ctx, "simulated-nodes", strings.Join(manifests, "\n---\n"))
	})
	if err != nil {
		return fmt.Errorf("making simulated nodes: %w", err)
	}
	return nil
}
