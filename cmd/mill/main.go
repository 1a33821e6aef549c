// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Command mill is the command line of Millrace. As kubectl-mill on the PATH it is also "kubectl mill", and as
// kubectl_complete-mill what kubectl asks for its completions.
package main

import (
	"os"

	"github.com/millrace-ml/millrace/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args)) }
