// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Command launcher is the helper inside users' pods.
//
//	launcher heartbeat --file FILE [--every 15s]
//
// tells Millrace of progress each time FILE was touched. It needs POD_NAME and POD_NAMESPACE in its environment, and a service
// account that may patch the pod.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/millrace-ml/millrace/internal/launcher"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := run(ctx, os.Args[1:])
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "launcher:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] != "heartbeat" {
		return errors.New("usage: launcher heartbeat --file FILE [--every 15s]")
	}
	flags := flag.NewFlagSet("launcher heartbeat", flag.ContinueOnError)
	file := flags.String("file", "", "file that the training touches when it makes progress")
	every := flags.Duration("every", 15*time.Second, "how often to look at the file, and at most to tell of it")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if *file == "" || *every < time.Second || flags.NArg() > 0 {
		return errors.New("--file names the file to look at, and --every is a second or more")
	}
	pod := &launcher.Pod{
		Server:    "https://" + net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")),
		Namespace: os.Getenv("POD_NAMESPACE"), Name: os.Getenv("POD_NAME"), Credentials: launcher.Credentials,
	}
	if err := pod.Connect(); err != nil {
		return err
	}
	ticker := time.NewTicker(*every)
	defer ticker.Stop()
	h := launcher.Heartbeat{File: *file, Looks: ticker.C, Tell: pod.Beat, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	return h.Run(ctx)
}
