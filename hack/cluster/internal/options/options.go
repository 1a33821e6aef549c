// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package options is what a cluster may have beyond its least: make up NODES=20 GPUS=4 DRA=2 GATES=gang.
package options

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The names of options.
const (
	Nodes = "NODES" // simulated nodes of eight GPUs
	GPUs  = "GPUS"  // simulated GPUs of the real node, by a device plugin
	DRA   = "DRA"   // simulated GPUs of the real node to be claimed, by a driver of dynamic resource allocation
	Gates = "GATES" // features of Kubernetes that are off by default
)

// None is the option's value that takes away what an earlier `up` was asked for.
const None = "none"

// Feature is a set of Kubernetes' switches that belong together.
type Feature struct {
	FeatureGates  []string // of the API server, the controller manager and the scheduler
	RuntimeConfig []string // of the API server
}

// Features are the values of Gates.
var Features = map[string]Feature{
	None: {},
	"gang": {
		FeatureGates:  []string{"GenericWorkload=true", "TopologyAwareWorkloadScheduling=true"},
		RuntimeConfig: []string{"scheduling.k8s.io/v1beta1=true"},
	},
}

// Options are values by name. What is absent stays as it is.
type Options map[string]string

// Parse reads NAME=VALUE words. An empty value counts as absent, as that of a variable of make that is not set.
func Parse(words []string) (Options, error) {
	given := Options{}
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		check, known := checks[name]
		if !known {
			return nil, fmt.Errorf("no option %q: have %s", word, strings.Join(slices.Sorted(maps.Keys(checks)), ", "))
		}
		if value == "" {
			continue
		}
		if err := check(value); err != nil {
			return nil, fmt.Errorf("%s=%s: %w", name, value, err)
		}
		given[name] = value
	}
	return given, nil
}

var checks = map[string]func(string) error{Nodes: number, GPUs: number, DRA: number, Gates: feature}

func number(value string) error {
	if n, err := strconv.Atoi(value); err != nil || n < 0 {
		return errors.New("not a number of devices or nodes")
	}
	return nil
}

func feature(value string) error {
	if _, known := Features[value]; !known {
		return fmt.Errorf("must be one of %s", strings.Join(slices.Sorted(maps.Keys(Features)), ", "))
	}
	return nil
}

// Count is the number an option says, 0 when it is absent.
func (o Options) Count(name string) int {
	n, _ := strconv.Atoi(o[name]) // checked when it was parsed
	return n
}

// Feature is what Gates says.
func (o Options) Feature() Feature { return Features[o[Gates]] }

// Asks is the first option that asks for more than the least, if any.
func (o Options) Asks() (name string, yes bool) {
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if o[name] != "0" && o[name] != None {
			return name, true
		}
	}
	return "", false
}

// Over are these options, and where they are absent those of before.
func (o Options) Over(before Options) Options {
	all := maps.Clone(before)
	if all == nil {
		all = Options{}
	}
	maps.Copy(all, o)
	return all
}

// Load reads what Save wrote; there are no options where there is no file.
func Load(file string) (Options, error) {
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Options{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading options: %w", err)
	}
	var saved Options
	if err := json.Unmarshal(content, &saved); err != nil {
		return nil, fmt.Errorf("reading options from %s: %w", file, err)
	}
	return saved, nil
}

// Save writes options to a file.
func (o Options) Save(file string) error {
	content, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("writing options: %w", err)
	}
	return os.WriteFile(file, append(content, '\n'), 0o600)
}
