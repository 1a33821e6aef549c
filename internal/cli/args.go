// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
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
	if of, name, err := refer([]string{arg}); err == nil && len(of) == 1 && of[0].Kind == "TrainingJob" && name != "" {
		return name
	}
	return arg
}

// oneObject takes NAME of a job, KIND NAME or KIND/NAME.
func oneObject(p *Program, args []string) (kind, string, error) {
	if len(args) > 2 {
		return kind{}, "", usagef("one object at a time, not %s", strings.Join(args, " and "))
	}
	of, name, err := refer(args)
	if err != nil {
		return kind{}, "", err
	}
	if name == "" {
		return kind{}, "", usagef("name a job, or KIND and NAME; %q lists them", p.Name+" get "+strings.Join(args, ""))
	}
	return of[0], name, nil
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
