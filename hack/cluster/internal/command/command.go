// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package command runs the machine's programs and, when one fails, says what it said.
package command

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/millrace-ml/millrace/hack/cluster/internal/console"
)

// Run runs a program; its last lines of output are in the error.
func Run(ctx context.Context, name string, args ...string) error {
	_, err := Feed(ctx, "", name, args...)
	return err
}

// Feed runs a program with a text on its standard input and returns its standard output.
func Feed(ctx context.Context, input, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w%s", filepath.Base(name), strings.Join(args, " "), err,
			console.LastLines(said.String()+out.String(), 8))
	}
	return out.String(), nil
}

// Logged runs a program whose output goes to a file, whose last lines are in the error.
func Logged(ctx context.Context, log string, env []string, name string, args ...string) error {
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		return err
	}
	file, err := os.Create(log)
	if err != nil {
		return err
	}
	defer file.Close()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s (see %s): %w%s", filepath.Base(name), log, err, console.Tail(log, 8))
	}
	return nil
}
