// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package paths says where the local cluster keeps its files. What can be made again from pinned
// versions lives in the cache and survives `down`; what belongs to one running cluster lives in the
// state directory and does not.
package paths

import (
	"fmt"
	"os"
	"path/filepath"
)

// Paths are the roots of everything the program reads and writes. All are absolute: containerd and
// the kubelet refuse relative ones, and processes outlive the directory they were started from.
type Paths struct {
	Cache  string // binaries and images, shared by every checkout
	State  string // one cluster: certificates, sockets, databases, logs
	Source string // hack/cluster in this checkout
	Repo   string // root of this checkout
}

// FromEnvironment resolves the roots from MILLRACE_CACHE and MILLRACE_STATE or their defaults.
// The program runs in its own module directory (go run -C hack/cluster), which names the checkout.
func FromEnvironment(getenv func(string) string) (Paths, error) {
	source, err := os.Getwd()
	if err != nil {
		return Paths{}, fmt.Errorf("finding the working directory: %w", err)
	}
	if _, err := os.Stat(filepath.Join(source, "versions", "kubernetes", "go.mod")); err != nil {
		return Paths{}, fmt.Errorf("run me from the checkout as `go run -C hack/cluster .`: %w", err)
	}
	cache, err := cacheDir(getenv)
	if err != nil {
		return Paths{}, err
	}
	state := getenv("MILLRACE_STATE")
	if state == "" {
		state = "/var/tmp/millrace"
	}
	p := Paths{Cache: cache, State: state, Source: source, Repo: filepath.Dir(filepath.Dir(source))}
	for _, dir := range []string{p.Cache, p.State} {
		if !filepath.IsAbs(dir) {
			return Paths{}, fmt.Errorf("%s must be an absolute path: check MILLRACE_CACHE and MILLRACE_STATE", dir)
		}
	}
	return p, nil
}

func cacheDir(getenv func(string) string) (string, error) {
	if dir := getenv("MILLRACE_CACHE"); dir != "" {
		return dir, nil
	}
	if dir := getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "millrace"), nil
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".cache", "millrace"), nil
	}
	return "", fmt.Errorf("no cache directory: set MILLRACE_CACHE or HOME")
}

// Kubeconfig is the administrator's kubeconfig of the local cluster.
func (p Paths) Kubeconfig() string { return p.InState("kubeconfig") }

// InState is a path in the state directory.
func (p Paths) InState(elem ...string) string {
	return filepath.Join(append([]string{p.State}, elem...)...)
}

// InCache is a path in the cache.
func (p Paths) InCache(elem ...string) string {
	return filepath.Join(append([]string{p.Cache}, elem...)...)
}
