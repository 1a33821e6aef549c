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
	"github.com/millrace-ml/millrace/hack/cluster/internal/options"
	"github.com/millrace-ml/millrace/hack/cluster/internal/paths"
	"github.com/millrace-ml/millrace/hack/cluster/internal/pki"
)

// readiness is how long a process may take until it answers. The API server of a busy machine is the slowest.
const readiness = 2 * time.Minute

// Up starts the cluster, or what of it does not run. Options that it is not asked for stay as they are.
func (c *Cluster) Up(ctx context.Context, asked options.Options) error {
	if err := c.Prerequisites(ctx); err != nil {
		return err
	}
	if err := c.remember(asked); err != nil {
		return err
	}
	if err := c.build(ctx, c.wanted()); err != nil {
		return err
	}
	comps := c.wanted() // once more: arguments name programs that are known only now
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
	if err := c.stopAbsent(); err != nil {
		return err
	}
	if err := c.start(ctx, comps); err != nil {
		return err
	}
	if err := c.installAddons(ctx); err != nil {
		return err
	}
	if err := c.describeDevices(ctx); err != nil {
		return err
	}
	return c.simulate(ctx)
}

// wanted is every component that is not left out.
func (c *Cluster) wanted() []component {
	return slices.DeleteFunc(c.components(), func(comp component) bool { return comp.absent })
}

// stopAbsent ends what an earlier `up` was asked for and this one is not.
func (c *Cluster) stopAbsent() error {
	for _, comp := range slices.Backward(c.components()) {
		if !comp.absent {
			continue
		}
		if err := c.supervisor.Stop(comp.name, comp.graceTime()); err != nil {
			return err
		}
	}
	return nil
}

// remember joins what the cluster was asked for before with what it is asked for now.
func (c *Cluster) remember(asked options.Options) error {
	if err := c.recall(); err != nil {
		return err
	}
	c.options = asked.Over(c.options)
	return c.options.Save(optionsFile(c.paths))
}

func (c *Cluster) recall() error {
	saved, err := options.Load(optionsFile(c.paths))
	c.options = saved
	return err
}

func optionsFile(p paths.Paths) string { return p.InState("options.json") }

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
