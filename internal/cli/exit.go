// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
)

// The exit codes of mill.
const (
	// ExitOK: what was asked for was done, or has come true.
	ExitOK = 0
	// ExitError: anything that has no code of its own.
	ExitError = 1
	// ExitFailed: the job or experiment has failed, or the object cannot go on without somebody's help.
	ExitFailed = 2
	// ExitTimeout: what was waited for has not come true in time.
	ExitTimeout = 3
	// ExitNotFound: there is no such object.
	ExitNotFound = 4
	// ExitInterrupted: the user pressed Ctrl-C.
	ExitInterrupted = 130
)

const exitCodes = `
Exit codes:
  0    done, or come true
  1    wrong usage, an invalid manifest, or any other error
  2    failed, or cannot go on without help
  3    not come true in time
  4    no such object
  130  interrupted
`

// exit is an error that knows its exit code.
type exit struct {
	code int
	// err is told to the user; nil when everything has been said.
	err error
	// usage is true when the way the command was called is at fault.
	usage bool
}

func (e exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e exit) Unwrap() error { return e.err }

// exitOf finds the exit code of any error.
func exitOf(err error) exit {
	if found := (exit{}); errors.As(err, &found) {
		return found
	}
	return exit{code: ExitError, err: err}
}

// usage marks an error as the user's mistake in calling mill.
func usage(err error) error { return exit{code: ExitError, err: err, usage: true} }

func usagef(format string, args ...any) error { return usage(fmt.Errorf(format, args...)) }
