// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace-ml/millrace/internal/config"
)

func TestConfigure(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte("log: {level: error}\nhealth: {bindAddress: \":9000\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	shared := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(shared, []byte("store: {dsn: \"postgres://u:p@db/x\"}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		want func(*config.Config)
	}{
		"nothing set is the defaults": {nil, func(*config.Config) {}},
		"the file is read": {[]string{"--config", file}, func(c *config.Config) {
			c.Log.Level, c.Health.BindAddress = "error", ":9000"
		}},
		"a flag overrides the file, wherever it stands": {[]string{"--log-level=debug", "--config", file}, func(c *config.Config) {
			c.Log.Level, c.Health.BindAddress = "debug", ":9000"
		}},
		"an empty flag turns an endpoint off": {[]string{"--metrics-bind-address="}, func(c *config.Config) { c.Metrics.BindAddress = "" }},
		"several managers share a database": {[]string{"--replicas=2", "--config", shared}, func(c *config.Config) {
			c.Replicas, c.Store.DSN = 2, "postgres://u:p@db/x"
		}},
		"a manager may be alone": {[]string{"--no-leader-election"}, func(c *config.Config) { c.LeaderElection.Enabled = false }},
	} {
		t.Run(name, func(t *testing.T) {
			want := config.Default()
			tc.want(&want)
			got, err := configure(tc.args)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("configure() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfigureRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"a flag there is not":         {[]string{"--webhooks"}, "webhooks"},
		"an argument":                 {[]string{"start"}, `"start" is not a flag`},
		"a file there is not":         {[]string{"--config", "/nowhere/config.yaml"}, "/nowhere/config.yaml"},
		"two managers and SQLite":     {[]string{"--replicas=2"}, "store.dsn"},
		"a value that does not check": {[]string{"--log-level=loud"}, "log.level"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := configure(tc.args)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("configure() = %v, want an error with %q", err, tc.want)
			}
		})
	}
}
