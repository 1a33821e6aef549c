// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package elsewhere is the clusters that are not ours to run: the one of a kubeconfig, and kind's.
package elsewhere

import (
	"context"
	"fmt"
	"io"

	"github.com/millrace-ml/millrace/hack/cluster/internal/binary"
	"github.com/millrace-ml/millrace/hack/cluster/internal/command"
	"github.com/millrace-ml/millrace/hack/cluster/internal/console"
	"github.com/millrace-ml/millrace/hack/cluster/internal/options"
)

// Existing is a cluster that somebody else keeps.
type Existing struct {
	File     string // its kubeconfig
	Image    string // name of an image pushed to where the cluster pulls from, if the person said one
	Console  *console.Console
	Binaries binary.Cache
}

// Up only looks whether the cluster answers.
func (e Existing) Up(ctx context.Context, asked options.Options) error {
	if option, asks := asked.Asks(); asks {
		return fmt.Errorf("%s is for the local cluster: %s is of a cluster that others keep", option, e.File)
	}
	if err := e.kubectl(ctx, "get", "--raw", "/readyz"); err != nil {
		return fmt.Errorf("the cluster of %s does not answer: %w", e.File, err)
	}
	e.Console.Say("Using the cluster of %s", e.File)
	return nil
}

// Down leaves it alone.
func (e Existing) Down(context.Context) error {
	e.Console.Say("The cluster of %s is not the local one; nothing is removed", e.File)
	return nil
}

// Status says whether it answers.
func (e Existing) Status(ctx context.Context, out io.Writer) (bool, error) {
	if err := e.kubectl(ctx, "get", "--raw", "/readyz"); err != nil {
		fmt.Fprintf(out, "%s: does not answer: %v\n", e.File, err)
		return false, nil
	}
	fmt.Fprintf(out, "%s: ready\n", e.File)
	return true, nil
}

// Load cannot put an image into a cluster that pulls its own. It returns the name the person gave.
func (e Existing) Load(_ context.Context, name string) (string, error) {
	if e.Image != "" {
		return e.Image, nil
	}
	return "", fmt.Errorf("%s is of a cluster that pulls its images: build and push %s, and say where it is with IMAGE=REGISTRY/NAME:TAG", e.File, name)
}

// Kubeconfig is the file the person named.
func (e Existing) Kubeconfig() string { return e.File }

func (e Existing) kubectl(ctx context.Context, args ...string) error {
	program, err := e.Binaries.Path(ctx, "kubectl")
	if err != nil {
		return err
	}
	return command.Run(ctx, program, append([]string{"--kubeconfig", e.File}, args...)...)
}
