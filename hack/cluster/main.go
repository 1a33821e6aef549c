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
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// errUsage marks the mistakes of the person at the keyboard, which exit 2.
var errUsage = errors.New("usage")

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
		if len(args)-1 < c.least || len(args)-1 > c.most {
			return fmt.Errorf("%w: cluster %s %s", errUsage, c.name, c.arguments)
		}
		p, err := newProgram(os.Getenv)
		if err != nil {
			return err
		}
		return c.run(ctx, p, args[1:])
	}
	return fmt.Errorf("%w: no command %q\n%s", errUsage, args[0], help())
}

func help() string {
	var text strings.Builder
	for _, c := range commands {
		fmt.Fprintf(&text, "  %-20s %s\n", strings.TrimSpace(c.name+" "+c.arguments), c.help)
	}
	return strings.TrimRight(text.String(), "\n")
}
