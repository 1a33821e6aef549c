// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Bounds of what can be set.
const (
	maxConcurrency = 1000
	maxLogLevel    = 10
)

// Validate returns every mistake, with the path of its field.
func (c *Config) Validate() error {
	var all field.ErrorList
	all = append(all, c.LeaderElection.validate(field.NewPath("leaderElection"))...)
	all = append(all, c.Metrics.validate(field.NewPath("metrics"))...)
	all = append(all, address(field.NewPath("health", "bindAddress"), c.Health.BindAddress)...)
	all = append(all, address(field.NewPath("pprof", "bindAddress"), c.Pprof.BindAddress)...)
	all = append(all, c.collisions()...)
	all = append(all, c.Log.validate(field.NewPath("log"))...)
	all = append(all, concurrency(field.NewPath("concurrency"), c.Concurrency)...)
	all = append(all, c.Gang.validate(field.NewPath("gang"))...)
	all = append(all, atLeastOne(field.NewPath("replicas"), c.Replicas)...)
	all = append(all, c.Store.validate(field.NewPath("store"), c.Replicas)...)
	all = append(all, c.Server.validate(field.NewPath("server"))...)
	all = append(all, namespaces(field.NewPath("namespaces"), c.Namespaces)...)
	all = append(all, c.Healing.validate(field.NewPath("healing"))...)
	all = append(all, positive(field.NewPath("gracefulShutdownTimeout"), c.GracefulShutdownTimeout)...)
	return all.ToAggregate()
}

// validate checks the order of the durations too: a leader that gives up later than the others take over is two leaders.
func (l LeaderElection) validate(path *field.Path) field.ErrorList {
	if !l.Enabled {
		return nil
	}
	var all field.ErrorList
	for _, text := range validation.IsDNS1123Subdomain(l.Name) {
		all = append(all, field.Invalid(path.Child("name"), l.Name, text))
	}
	if l.Namespace != "" {
		all = append(all, namespace(path.Child("namespace"), l.Namespace)...)
	}
	all = append(all, positive(path.Child("retryPeriod"), l.RetryPeriod)...)
	if l.LeaseDuration.Duration <= l.RenewDeadline.Duration {
		all = append(all, field.Invalid(path.Child("leaseDuration"), l.LeaseDuration.String(), "must be longer than renewDeadline"))
	}
	// The client adds up to a fifth of the period to it.
	if 5*l.RenewDeadline.Duration <= 6*l.RetryPeriod.Duration {
		all = append(all, field.Invalid(path.Child("renewDeadline"), l.RenewDeadline.String(), "must be longer than 1.2 times retryPeriod"))
	}
	return all
}

func (m Metrics) validate(path *field.Path) field.ErrorList {
	all := address(path.Child("bindAddress"), m.BindAddress)
	all = append(all, oneOf(path.Child("scheme"), m.Scheme, "https", "http")...)
	if m.Scheme == "http" && m.CertDir != "" {
		all = append(all, field.Invalid(path.Child("certDir"), m.CertDir, "is for scheme https: remove it or change the scheme"))
	}
	return all
}

// collisions finds two endpoints on one port.
func (c *Config) collisions() field.ErrorList {
	var all field.ErrorList
	taken := map[string]*field.Path{}
	for _, e := range []struct{ name, address string }{
		{"metrics", c.Metrics.BindAddress},
		{"health", c.Health.BindAddress},
		{"pprof", c.Pprof.BindAddress},
		{"server", c.Server.BindAddress},
	} {
		path := field.NewPath(e.name, "bindAddress")
		_, port, err := net.SplitHostPort(e.address)
		if err != nil || port == "0" {
			continue
		}
		if other, ok := taken[port]; ok {
			all = append(all, field.Invalid(path, e.address, "has the port of "+other.String()))
			continue
		}
		taken[port] = path
	}
	return all
}

func (l Log) validate(path *field.Path) field.ErrorList {
	all := oneOf(path.Child("format"), l.Format, "json", "console")
	if _, ok := l.Verbosity(); !ok {
		all = append(all, field.Invalid(path.Child("level"), l.Level, "must be error, info, debug, or a number from 0 to "+strconv.Itoa(maxLogLevel)))
	}
	return all
}

// Verbosity is the level as a number: -1 for errors only, 0 for info, 1 for debug, and so on.
func (l Log) Verbosity() (int, bool) {
	if named, ok := map[string]int{"error": -1, "info": 0, "debug": 1}[l.Level]; ok {
		return named, true
	}
	n, err := strconv.Atoi(l.Level)
	return n, err == nil && n >= 0 && n <= maxLogLevel
}

func concurrency(path *field.Path, set map[string]int) field.ErrorList {
	var all field.ErrorList
	for kind, n := range set {
		if !slices.Contains(kinds, kind) {
			all = append(all, field.NotSupported(path.Key(kind), kind, kinds))
			continue
		}
		if n < 1 || n > maxConcurrency {
			all = append(all, field.Invalid(path.Key(kind), n, "must be from 1 to "+strconv.Itoa(maxConcurrency)))
		}
	}
	// Maps have no order, and messages must not change from one start to the next.
	slices.SortFunc(all, func(a, b *field.Error) int { return strings.Compare(a.Field, b.Field) })
	return all
}

func namespaces(path *field.Path, names []string) field.ErrorList {
	var all field.ErrorList
	for i, name := range names {
		all = append(all, namespace(path.Index(i), name)...)
		if slices.Contains(names[:i], name) {
			all = append(all, field.Duplicate(path.Index(i), name))
		}
	}
	return all
}

func namespace(path *field.Path, name string) field.ErrorList {
	var all field.ErrorList
	for _, text := range validation.IsDNS1123Label(name) {
		all = append(all, field.Invalid(path, name, text))
	}
	return all
}

// address accepts host:port with a number for the port, and nothing at all, which turns the endpoint off.
func address(path *field.Path, value string) field.ErrorList {
	if value == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(value)
	if err != nil {
		return field.ErrorList{field.Invalid(path, value, "must be host:port or :port")}
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return field.ErrorList{field.Invalid(path, value, "must end in a port from 0 to 65535")}
	}
	return nil
}

func oneOf(path *field.Path, value string, allowed ...string) field.ErrorList {
	if slices.Contains(allowed, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, value, allowed)}
}

func positive(path *field.Path, value metav1.Duration) field.ErrorList {
	if value.Duration > 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(path, value.String(), "must be a duration above zero, such as 15s")}
}

func seconds(n int) metav1.Duration { return metav1.Duration{Duration: time.Duration(n) * time.Second} }
