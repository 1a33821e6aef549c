// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"time"

	"go.uber.org/zap/zapcore"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/guard"
)

// reconciliationTimeout ends a pass that hangs on a request, so that it cannot hold a worker for ever.
const reconciliationTimeout = 60 * time.Second

// Manager is the configuration as controller-runtime takes it. What the kinds decide, the scheme and the cache, is the
// caller's to add before; watched narrows the cache it is given to the namespaces.
func (c *Config) Manager(caches cache.Options) ctrl.Options {
	return ctrl.Options{
		LeaderElection:          c.LeaderElection.Enabled,
		LeaderElectionID:        c.LeaderElection.Name,
		LeaderElectionNamespace: c.LeaderElection.Namespace,
		// The process ends when the manager does, so the Lease may be given up at once instead of running out.
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 &c.LeaderElection.LeaseDuration.Duration,
		RenewDeadline:                 &c.LeaderElection.RenewDeadline.Duration,
		RetryPeriod:                   &c.LeaderElection.RetryPeriod.Duration,
		Metrics:                       c.Metrics.options(),
		HealthProbeBindAddress:        off(c.Health.BindAddress),
		PprofBindAddress:              off(c.Pprof.BindAddress),
		GracefulShutdownTimeout:       &c.GracefulShutdownTimeout.Duration,
		Cache:                         c.watched(caches),
		// Reads see our own writes, so that a pass right after another does not start from before it. It does not work
		// over several namespaces; there, computed names and UIDs keep passes right, at the price of a refused create
		// now and then.
		Client: client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: new(len(c.Namespaces) < 2)}},
		Controller: ctrlconfig.Controller{
			// A standby that has its caches filled takes over in the time it takes to get the Lease.
			EnableWarmup:          new(true),
			ReconciliationTimeout: reconciliationTimeout,
			GroupKindConcurrency:  c.concurrency(),
		},
	}
}

// concurrency is by kind and group, as controllers look it up.
func (c *Config) concurrency() map[string]int {
	byGroup := map[string]int{}
	for kind, n := range c.Concurrency {
		byGroup[kind+"."+v1alpha1.Group] = n
	}
	return byGroup
}

func (c *Config) watched(caches cache.Options) cache.Options {
	for _, name := range c.Namespaces {
		if caches.DefaultNamespaces == nil {
			caches.DefaultNamespaces = map[string]cache.Config{}
		}
		caches.DefaultNamespaces[name] = cache.Config{}
	}
	return caches
}

func (m Metrics) options() metricsserver.Options {
	o := metricsserver.Options{BindAddress: off(m.BindAddress), CertDir: m.CertDir}
	if m.Scheme == "https" {
		o.SecureServing = true
		o.FilterProvider = guard.Filter
	}
	return o
}

// Zap is the logger's options.
func (l Log) Zap() []zap.Opts {
	verbosity, _ := l.Verbosity()
	encoder := zap.JSONEncoder(readableTime)
	if l.Format == "console" {
		encoder = zap.ConsoleEncoder(readableTime)
	}
	level := zapcore.Level(-verbosity)
	if verbosity < 0 {
		level = zapcore.ErrorLevel
	}
	return []zap.Opts{zap.Level(level), encoder, zap.StacktraceLevel(zapcore.DPanicLevel)}
}

func readableTime(e *zapcore.EncoderConfig) { e.EncodeTime = zapcore.RFC3339NanoTimeEncoder }

// off is an address as controller-runtime wants it: it takes an empty one for its default.
func off(address string) string {
	if address == "" {
		return "0"
	}
	return address
}
