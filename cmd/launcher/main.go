// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Command launcher is the helper inside users' pods.
//
//	launcher heartbeat --file FILE [--every 15s]
//
// tells Millrace of progress each time FILE was touched. It needs POD_NAME and POD_NAMESPACE in its environment, and a service
// account that may patch the pod.
//
//	launcher collect --path PATH --format Text|JSON|TensorBoard --metric NAME... [--filter REGEXP...] [--every 2s]
//
// pushes the metrics that a training writes into a file, or into event files of TensorBoard. Trials get it as a sidecar.
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
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/observe"
)

// commands are what the launcher does.
var commands = map[string]func(context.Context, []string) error{"heartbeat": heartbeat, "collect": collect}

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
	if len(args) > 0 && commands[args[0]] != nil {
		return commands[args[0]](ctx, args[1:])
	}
	return errors.New("usage: launcher heartbeat --file FILE [--every 15s]\n" +
		"       launcher collect --path PATH --format Text|JSON|TensorBoard --metric NAME... [--filter REGEXP...] [--every 2s]")
}

func heartbeat(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("launcher heartbeat", flag.ContinueOnError)
	file := flags.String("file", "", "file that the training touches when it makes progress")
	every := flags.Duration("every", 15*time.Second, "how often to look at the file, and at most to tell of it")
	if err := flags.Parse(args); err != nil {
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

// farewell is how long the last metrics of a training are tried to be pushed. A pod has 30 s to end, unless it says otherwise.
const farewell = 25 * time.Second

func collect(ctx context.Context, args []string) error {
	pusher := &launcher.Pusher{URL: os.Getenv(names.EnvMetricsURL), Token: os.Getenv(names.EnvMetricsToken), CA: os.Getenv(names.EnvMetricsCA)}
	c := &launcher.Collect{Push: pusher.Push, Now: time.Now, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	flags := flag.NewFlagSet("launcher collect", flag.ContinueOnError)
	flags.StringVar(&c.Path, "path", "", "file to read, or directory of event files")
	flags.StringVar((*string)(&c.Format), "format", string(observe.FormatText), "Text, JSON or TensorBoard")
	flags.StringVar(&c.State, "state", launcher.State, "file that keeps how far was read")
	list := func(to *[]string) func(string) error {
		return func(value string) error {
			*to = append(*to, value)
			return nil
		}
	}
	flags.Func("metric", "name of a metric; once for each", list(&c.Metrics))
	flags.Func("filter", "regular expression with two groups, name and value; once for each", list(&c.Filters))
	every := flags.Duration("every", 2*time.Second, "how often to look")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if c.Path == "" || len(c.Metrics) == 0 || *every <= 0 || flags.NArg() > 0 {
		return errors.New("--path names what to read, --metric what to look for, and --every is above zero")
	}
	if pusher.URL == "" || pusher.Token == "" || pusher.CA == "" {
		return fmt.Errorf("%s, %s and %s must be set", names.EnvMetricsURL, names.EnvMetricsToken, names.EnvMetricsCA)
	}
	ticker := time.NewTicker(*every)
	defer ticker.Stop()
	c.Looks = ticker.C
	return c.Run(ctx, farewell)
}
