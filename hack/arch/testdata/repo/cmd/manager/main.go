// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"os"
	"time"
)

var start, home, debug = time.Now(), os.Getenv("HOME"), flag.Bool("debug", false, "")
