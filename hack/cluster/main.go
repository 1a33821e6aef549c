// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Command cluster starts, stops and feeds the local Kubernetes cluster of this repository: a real
// single node built from pinned Go modules and Debian packages, with no container engine and no
// registry. See README.md beside this file.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/millrace-ml/millrace/hack/cluster/internal/binary"
	"github.com/millrace-ml/millrace/hack/cluster/internal/console"
	"github.com/millrace-ml/millrace/hack/cluster/internal/paths"
)

// errUsage marks the mistakes of the person at the keyboard, which exit 2.
var errUsage = errors.New("usage")

// program is what every command works with.
type program struct {
	paths    paths.Paths
	console  *console.Console
	binaries binary.Cache
	stdout   io.Writer
}

type command struct {
	name, arguments, help string
	run                   func(context.Context, program, []string) error
}

var commands = []command{
	{"assets", "", "build kube-apiserver, etcd and kubectl; print their directory for envtest", assets},
	{"bin", "NAME", "print the path of one program, building it when absent", bin},
	{"kubeconfig", "", "print the path of the kubeconfig", kubeconfig},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "cluster: %v\n", err)
	if errors.Is(err, errUsage) {
		os.Exit(2)
	}
	os.Exit(1)
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%w: cluster COMMAND\n%s", errUsage, help())
	}
	for _, c := range commands {
		if c.name != args[0] {
			continue
		}
		p, err := newProgram()
		if err != nil {
			return err
		}
		return c.run(ctx, p, args[1:])
	}
	return fmt.Errorf("%w: no command %q\n%s", errUsage, args[0], help())
}

func newProgram() (program, error) {
	where, err := paths.FromEnvironment(os.Getenv)
	if err != nil {
		return program{}, err
	}
	terminal := console.New(os.Stderr)
	return program{
		paths: where, console: terminal, binaries: binary.NewCache(where, terminal), stdout: os.Stdout,
	}, nil
}

func help() string {
	var text strings.Builder
	for _, c := range commands {
		fmt.Fprintf(&text, "  %-20s %s\n", strings.TrimSpace(c.name+" "+c.arguments), c.help)
	}
	return strings.TrimRight(text.String(), "\n")
}

func assets(ctx context.Context, p program, args []string) error {
	if len(args) != 0 {
		return fmt.Errorf("%w: cluster assets", errUsage)
	}
	dir, err := p.binaries.Assets(ctx, "kube-apiserver", "etcd", "kubectl")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, dir)
	return err
}

func bin(ctx context.Context, p program, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%w: cluster bin NAME, one of %s", errUsage, strings.Join(binary.Names(), ", "))
	}
	path, err := p.binaries.Path(ctx, args[0])
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, path)
	return err
}

func kubeconfig(_ context.Context, p program, args []string) error {
	if len(args) != 0 {
		return fmt.Errorf("%w: cluster kubeconfig", errUsage)
	}
	_, err := fmt.Fprintln(p.stdout, p.paths.Kubeconfig())
	return err
}
