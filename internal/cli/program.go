// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cli is the mill command: it plans manifests without a cluster, and shows, follows and waits for jobs in one.
//
// A command is a value with a run method: flags are its fields, and everything else it needs comes from the Program, so
// that tests hand in their own cluster, clock and terminal. Commands write results to Out and everything said along the
// way to Err, and end with an exit code (exit.go) that scripts can rely on.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// Program is mill and its surroundings.
type Program struct {
	// Name is how the user calls mill: mill, or kubectl mill.
	Name string

	In       io.Reader
	Out, Err io.Writer
	// Getenv reads the environment.
	Getenv func(string) string
	// Width is the number of columns of a terminal, and 0 of anything else.
	Width func(io.Writer) int
	// Now is the clock.
	Now func() time.Time
	// Connect reaches the cluster the user's flags and files name.
	Connect func(Target) (*Cluster, error)

	target Target
}

// Main runs mill with the arguments of a process and returns its exit code.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// What client-go has to say is for developers; what matters comes back as an error.
	klog.SetLogger(logr.Discard())
	ctrl.SetLogger(logr.Discard())
	name, rest := called(args)
	p := &Program{
		Name: name,
		In:   os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Getenv: os.Getenv, Width: terminalWidth, Now: time.Now, Connect: connect,
	}
	return p.Run(ctx, rest)
}

// completer is the program kubectl asks for completions of its plug-in kubectl-mill.
const completer = "kubectl_complete-mill"

// called is how the user called mill, and with which arguments: kubectl runs a plug-in by the name kubectl-mill.
func called(args []string) (name string, rest []string) {
	file := filepath.Base(args[0])
	switch {
	case strings.TrimSuffix(file, ".exe") == completer:
		return "kubectl mill", append([]string{cobra.ShellCompRequestCmd}, args[1:]...)
	case strings.HasPrefix(file, "kubectl-"):
		return "kubectl mill", args[1:]
	}
	return "mill", args[1:]
}

// terminalWidth is 0 for what is not a terminal.
func terminalWidth(w io.Writer) int {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil || width <= 0 {
		return 80
	}
	return width
}

// Run runs one command and returns its exit code. Errors are told in one line.
func (p *Program) Run(ctx context.Context, args []string) int {
	root := p.root() //nolint:contextcheck // commands take their context from cobra when they run
	root.SetArgs(args)
	root.SetIn(p.In)
	root.SetOut(p.Out)
	root.SetErr(p.Err)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return ExitInterrupted
	}
	end := exitOf(err)
	if end.err != nil {
		fmt.Fprintf(p.Err, "%s: %s\n", p.Name, printable(explain(end.err)))
	}
	if end.usage {
		fmt.Fprintf(p.Err, "See %q.\n", command.CommandPath()+" --help")
	}
	return end.code
}

// colour is true when w is a terminal whose user has not refused colours.
func (p *Program) colour(w io.Writer) bool {
	return p.Width(w) > 0 && p.Getenv("NO_COLOR") == "" && p.Getenv("TERM") != "dumb"
}

func (p *Program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "mill",
		Short: "Plan, watch and debug Millrace jobs",
		Long: `mill is the command line of Millrace.

It plans and converts manifests without a cluster, shows, follows and waits for jobs in one, and examines one.`,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: p.Name},
		SilenceErrors: true,
		SilenceUsage:  true,

		SuggestionsMinimumDistance: 2,

		Args: noSuchCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetUsageTemplate(root.UsageTemplate() + exitCodes)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	flags := root.PersistentFlags()
	flags.StringVar(&p.target.Kubeconfig, "kubeconfig", "", "kubeconfig file; KUBECONFIG or ~/.kube/config when left out")
	flags.StringVar(&p.target.Context, "context", "", "context of the kubeconfig; the current one when left out")
	flags.StringVarP(&p.target.Namespace, "namespace", "n", "", "namespace; the context's own when left out")
	root.AddCommand(
		newPlan(p), newConvert(p), newGet(p), newLogs(p), newWait(p), newTop(p), newExperiment(p), newAccelerators(p), newNotebook(p), newProfile(p),
		newDoctor(p), newBenchSuggest(p), newVersion(p),
	)
	p.completeFlags(root)
	completeShells(root)
	for _, c := range root.Commands() {
		c.Args = usageArgs(c.Args)
	}
	return root
}

// usageArgs marks wrong arguments as the user's mistake.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usage(err)
		}
		return nil
	}
}
