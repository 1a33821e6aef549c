// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/millrace-ml/millrace/hack/cluster/internal/options"
)

// The fabric of simulated nodes, from the inside out.
const (
	nodesInRack  = 8
	racksInBlock = 4
	blocksInZone = 4
)

// simulated is a simulated node and its place.
type simulated struct {
	Name              string
	Rack, Block, Zone int
}

func simulatedNode(i int) simulated {
	rack := i / nodesInRack
	block := rack / racksInBlock
	return simulated{Name: fmt.Sprintf("simulated-%d", i), Rack: rack, Block: block, Zone: block / blocksInZone}
}

// simulate makes simulated nodes 0 to count-1, each with eight GPUs. What runs on them is played by KWOK; a taint keeps
// real pods away. Nodes beyond count are left alone, as pods may be on them, but none leaves none.
func (c *Cluster) simulate(ctx context.Context) error {
	count := c.options.Count(options.Nodes)
	if count == 0 {
		return c.endSimulation(ctx)
	}
	var manifests []string
	for i := range count {
		text, err := render("kwok/node.yaml", simulatedNode(i))
		if err != nil {
			return err
		}
		manifests = append(manifests, text)
	}
	err := c.console.Step(fmt.Sprintf("Making %d simulated nodes", count), func() error {
		return c.applyChanged(ctx, simulatedNodes, strings.Join(manifests, "\n---\n"))
	})
	if err != nil {
		return fmt.Errorf("making simulated nodes: %w", err)
	}
	return nil
}

// simulatedNodes names what is applied for them.
const simulatedNodes = "simulated-nodes"

// endSimulation removes the nodes that an earlier `up` made.
func (c *Cluster) endSimulation(ctx context.Context) error {
	if !c.applied(simulatedNodes) {
		return nil
	}
	err := c.console.Step("Removing the simulated nodes", func() error {
		return c.kubectl(ctx, "", "delete", "nodes", "--selector=type=kwok", "--wait=false")
	})
	if err != nil {
		return fmt.Errorf("removing simulated nodes: %w", err)
	}
	return os.Remove(c.note(simulatedNodes))
}
