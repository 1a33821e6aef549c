// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	timeout := flag.Duration("timeout", time.Minute, "how long to wait for a peer")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Getenv, *timeout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run reads the contract and meets everybody it names.
func run(ctx context.Context, getenv func(string) string, timeout time.Duration) error {
	c, err := read(getenv)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(c.tasks[c.me])
	if err != nil {
		return fmt.Errorf("the address of %s: %w", c.me, err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", ":"+port)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }() // nobody is listened to any more
	fmt.Printf("%s listens on port %s and has %d peers\n", c.me, port, len(c.peers()))
	m := &member{contract: c, timeout: timeout, out: os.Stdout}
	go m.answer(listener)
	return m.meet(ctx)
}
