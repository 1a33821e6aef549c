// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package config is the manager's file configuration: what can be set, the defaults, and what is refused.
//
// The file is YAML without kind or version. A field it does not know is an error, because a misspelt setting that is
// ignored is found out at the worst of times. Values are read once, at the start; the manager is restarted to change them.
package config

import (
	"errors"
	"fmt"
	"os"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// Config is everything that can be set.
type Config struct {
	// LeaderElection lets several managers run with one of them at work.
	LeaderElection LeaderElection `json:"leaderElection"`
	// Metrics is the Prometheus endpoint.
	Metrics Metrics `json:"metrics"`
	// Health is the endpoint of /healthz and /readyz.
	Health Endpoint `json:"health"`
	// Pprof is the endpoint of /debug/pprof; off by default.
	Pprof Endpoint `json:"pprof"`
	// Log says how much is logged, and how.
	Log Log `json:"log"`
	// Concurrency is how many objects of each kind are worked on at once.
	Concurrency map[string]int `json:"concurrency"`
	// Gang says how the pods of a job are placed together.
	Gang Gang `json:"gang"`
	// Namespaces are the only ones watched; all when empty.
	Namespaces []string `json:"namespaces"`
	// Healing says which nodes are bad.
	Healing Healing `json:"healing"`
	// Notebook says how notebooks are reached, and when they are stopped by themselves.
	Notebook Notebook `json:"notebook"`
	// Profiles says what all Profiles have.
	Profiles Profiles `json:"profiles"`
	// GracefulShutdownTimeout is how long work under way may take to end after SIGTERM.
	GracefulShutdownTimeout metav1.Duration `json:"gracefulShutdownTimeout"`
}

// LeaderElection is a Lease that one manager holds.
type LeaderElection struct {
	Enabled bool `json:"enabled"`
	// Name and Namespace are the Lease's. An empty namespace is the manager's own.
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// LeaseDuration is how long the others wait for a leader that has fallen silent.
	LeaseDuration metav1.Duration `json:"leaseDuration"`
	// RenewDeadline is how long the leader tries to renew before it gives up.
	RenewDeadline metav1.Duration `json:"renewDeadline"`
	// RetryPeriod is the time between tries, and between renewals.
	RetryPeriod metav1.Duration `json:"retryPeriod"`
}

// Metrics is the Prometheus endpoint. Over HTTPS, who asks is authenticated and authorised by the API server.
type Metrics struct {
	// BindAddress is where it listens; off when empty.
	BindAddress string `json:"bindAddress"`
	// Scheme is https or http. http asks nobody for credentials.
	Scheme string `json:"scheme"`
	// CertDir holds tls.crt and tls.key; empty means a self-signed certificate made at the start.
	CertDir string `json:"certDir"`
}

// Endpoint is an HTTP endpoint.
type Endpoint struct {
	// BindAddress is where it listens; off when empty.
	BindAddress string `json:"bindAddress"`
}

// Gang says how the pods of a job are placed together.
type Gang struct {
	// Scheduler places the gangs of jobs that leave it to the manager: Auto, Native, Volcano, KAI, Coscheduling or Guard.
	Scheduler string `json:"scheduler"`
	// SchedulerNames are the schedulerName of pods by what places them, where it differs from the one of its own installation.
	SchedulerNames map[string]string `json:"schedulerNames"`
}

// Log says how much is logged, and how.
type Log struct {
	// Level is error, info, debug, or a number: 1 (the same as debug) is one line for each write, higher is more.
	Level string `json:"level"`
	// Format is json or console.
	Format string `json:"format"`
}

// kinds are the kinds whose concurrency can be set.
var kinds = []string{"Notebook", "Profile", "TrainingJob"}

// Default is the configuration of an empty file.
func Default() Config {
	c := Config{
		LeaderElection: LeaderElection{
			Enabled:       true,
			Name:          "millrace-manager",
			LeaseDuration: seconds(15), RenewDeadline: seconds(10), RetryPeriod: seconds(2),
		},
		Metrics:                 Metrics{BindAddress: ":8443", Scheme: "https"},
		Health:                  Endpoint{BindAddress: ":8081"},
		Log:                     Log{Level: "info", Format: "json"},
		Concurrency:             map[string]int{},
		Gang:                    Gang{Scheduler: string(v1alpha1.GangAuto), SchedulerNames: map[string]string{}},
		Healing:                 defaultHealing(),
		Notebook:                defaultNotebook(),
		Profiles:                defaultProfiles(),
		GracefulShutdownTimeout: seconds(20),
	}
	for _, kind := range kinds {
		c.Concurrency[kind] = 32
	}
	return c
}

// Load reads a file over the defaults; an empty path is an empty file. The result is not yet validated, so that flags may still override it.
func Load(path string) (Config, error) {
	if path == "" {
		return Default(), nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading the configuration: %w", err)
	}
	c, err := parse(data)
	if err != nil {
		return Config{}, fmt.Errorf("reading the configuration %s: %w", path, err)
	}
	return c, nil
}

func parse(data []byte) (Config, error) {
	object, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return Config{}, err
	}
	c := Default()
	unknown, err := json.UnmarshalStrict(object, &c)
	if err := errors.Join(append(unknown, err)...); err != nil {
		return Config{}, err
	}
	return c, nil
}
