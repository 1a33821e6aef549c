// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"

	clientconfig "sigs.k8s.io/controller-runtime/pkg/client/config"

	"github.com/millrace-ml/millrace/internal/config"
)

// settings are the flags that override a field of the file.
var settings = []struct {
	name, usage string
	field       func(*config.Config) *string
}{
	{"log-level", "error, info, debug or a number (log.level)", func(c *config.Config) *string { return &c.Log.Level }},
	{"log-format", "json or console (log.format)", func(c *config.Config) *string { return &c.Log.Format }},
	{"metrics-bind-address", "host:port, or empty for off (metrics.bindAddress)", func(c *config.Config) *string { return &c.Metrics.BindAddress }},
	{"health-bind-address", "host:port, or empty for off (health.bindAddress)", func(c *config.Config) *string { return &c.Health.BindAddress }},
	{"pprof-bind-address", "host:port, or empty for off (pprof.bindAddress)", func(c *config.Config) *string { return &c.Pprof.BindAddress }},
}

// configure reads the file that --config names, then lets the other flags override it.
func configure(args []string) (config.Config, error) {
	var file string
	var alone bool
	given := map[string]string{}
	flags := flag.NewFlagSet("manager", flag.ContinueOnError)
	clientconfig.RegisterFlags(flags)
	flags.StringVar(&file, "config", "", "file to read the configuration from; the defaults when left out")
	replicas := flags.Int("replicas", 0, "how many managers run (replicas)")
	flags.BoolVar(&alone, "no-leader-election", false, "run without a Lease, as the only manager (leaderElection.enabled)")
	for _, s := range settings {
		flags.Func(s.name, s.usage, func(value string) error {
			given[s.name] = value
			return nil
		})
	}
	if err := flags.Parse(args); err != nil {
		return config.Config{}, err
	}
	if flags.NArg() > 0 {
		return config.Config{}, fmt.Errorf("%q is not a flag", flags.Arg(0))
	}
	cfg, err := config.Load(file)
	if err != nil {
		return config.Config{}, err
	}
	for _, s := range settings {
		if value, ok := given[s.name]; ok {
			*s.field(&cfg) = value
		}
	}
	if *replicas != 0 {
		cfg.Replicas = *replicas
	}
	cfg.LeaderElection.Enabled = cfg.LeaderElection.Enabled && !alone
	if err := cfg.Validate(); err != nil {
		return config.Config{}, fmt.Errorf("the configuration is not valid: %w", err)
	}
	return cfg, nil
}
