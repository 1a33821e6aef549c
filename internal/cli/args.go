// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// oneJob takes the name of a job.
func oneJob(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("name a job; %q lists them", c.Root().DisplayName()+" get")
	}
	return atMostOneJob(c, args)
}

// atMostOneJob takes the name of a job, or nothing.
func atMostOneJob(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef("one job at a time, not %s", strings.Join(args, " and "))
	}
	return nil
}

// onlyFiles takes no arguments, which somebody may have thought to be files.
func onlyFiles(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("files are named with -f: -f %s", strings.Join(args, " -f "))
	}
	return nil
}

// noSuchCommand takes no arguments, which can only be a command that there is not.
func noSuchCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q", args[0])
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		text += ": did you mean " + strings.Join(near, " or ") + "?"
	}
	return usagef("%s", text)
}

// jobName is a job's name without its kind, which kubectl's users may put before it.
func jobName(arg string) string {
	kind, name, found := strings.Cut(arg, "/")
	if found && slices.Contains(kindWords, strings.ToLower(kind)) {
		return name
	}
	return arg
}

// completeShells makes the completion command fail without the name of a shell it knows.
func completeShells(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() != "completion" {
			continue
		}
		var shells []string
		for _, shell := range c.Commands() {
			shells = append(shells, shell.Name())
		}
		c.Args = cobra.ArbitraryArgs
		c.RunE = func(*cobra.Command, []string) error {
			return usagef("name a shell: %s", strings.Join(shells, ", "))
		}
	}
}
