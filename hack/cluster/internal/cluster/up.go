// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/millrace-ml/millrace/hack/cluster/internal/console"
	"github.com/millrace-ml/millrace/hack/cluster/internal/pki"
)

// readiness is how long a process may take until it answers. The API server of a busy machine is the slowest.
const readiness = 2 * time.Minute

// Up starts the cluster, or what of it does not run, with a number of simulated nodes beside the real one.
func (c *Cluster) Up(ctx context.Context, simulated int) error {
	if err := c.Prerequisites(ctx); err != nil {
		return err
	}
	comps := c.wanted(simulated > 0)
	if err := c.build(ctx, comps); err != nil {
		return err
	}
	comps = c.wanted(simulated > 0) // once more: arguments name programs that are known only now
	if err := pki.Ensure(c.settings.PKI, certificates, time.Now()); err != nil {
		return err
	}
	if err := c.writeConfigs(); err != nil {
		return err
	}
	if err := makeCgroups(); err != nil {
		return fmt.Errorf("making the cluster's control groups: %w", err)
	}
	if err := c.setUpNetwork(ctx); err != nil {
		return fmt.Errorf("setting up the cluster's networks: %w", err)
	}
	if err := c.start(ctx, comps); err != nil {
		return err
	}
	if err := c.installAddons(ctx); err != nil {
		return err
	}
	return c.simulate(ctx, simulated)
}

// wanted is every component, those of simulated nodes on request only: one that runs already goes on.
func (c *Cluster) wanted(simulate bool) []component {
	return slices.DeleteFunc(c.components(), func(comp component) bool {
		_, runs := c.supervisor.Running(comp.name)
		return comp.wave == simulation && !simulate && !runs
	})
}

// build finds or builds the programs of the components and what goes with them.
func (c *Cluster) build(ctx context.Context, comps []component) error {
	names := []string{"kubectl", "ctr", "containerd-shim-runc-v2"}
	for _, comp := range comps {
		names = append(names, comp.program())
	}
	programs, err := c.binaries.Ensure(ctx, names...)
	c.programs = programs
	return err
}

// start brings the components up, wave after wave, the ones of a wave side by side. One whose program, arguments or
// configuration changed is restarted.
func (c *Cluster) start(ctx context.Context, comps []component) error {
	client, err := newClient(c.settings.PKI)
	if err != nil {
		return err
	}
	for _, wave := range waves(comps) {
		failures := make([]error, len(wave))
		var group sync.WaitGroup
		for i, comp := range wave {
			group.Go(func() { failures[i] = c.run(ctx, client, comp) })
		}
		group.Wait()
		if err := errors.Join(failures...); err != nil {
			return err
		}
	}
	return nil
}

func waves(comps []component) [][]component {
	var all [][]component
	for w := foundation; w <= simulation; w++ {
		var wave []component
		for _, comp := range comps {
			if comp.wave == w {
				wave = append(wave, comp)
			}
		}
		all = append(all, wave)
	}
	return all
}

func (c *Cluster) run(ctx context.Context, client *http.Client, comp component) error {
	spec := c.spec(comp, c.programs[comp.program()])
	if c.supervisor.Current(spec) && comp.isReady(ctx, client) == nil {
		return nil
	}
	return c.console.Step("Starting "+comp.name, func() error {
		if err := c.supervisor.Stop(comp.name, comp.graceTime()); err != nil {
			return err
		}
		if err := c.supervisor.Start(spec); err != nil {
			return err
		}
		return c.await(ctx, client, comp)
	})
}

// await returns when the component answers, or with what it said when it died or never did.
func (c *Cluster) await(ctx context.Context, client *http.Client, comp component) error {
	err := eventually(ctx, readiness, func() error {
		if _, ok := c.supervisor.Running(comp.name); !ok {
			return permanent{errors.New("it ended")}
		}
		return comp.isReady(ctx, client)
	})
	if err == nil {
		return nil
	}
	log := c.supervisor.Log(comp.name)
	return fmt.Errorf("%s: %w (see %s)%s", comp.name, err, log, console.Tail(log, 5))
}

func (c component) isReady(ctx context.Context, client *http.Client) error {
	if c.ready == nil {
		return nil
	}
	return c.ready(ctx, client)
}

func (c component) graceTime() time.Duration {
	if c.grace > 0 {
		return c.grace
	}
	return defaultGrace
}

// permanent is an error that waiting does not mend.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// eventually asks until there is no error, the time is over, or the error is permanent.
func eventually(ctx context.Context, most time.Duration, ask func() error) error {
	deadline := time.Now().Add(most)
	for {
		err := ask()
		if err == nil {
			return nil
		}
		if errors.As(err, &permanent{}) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
