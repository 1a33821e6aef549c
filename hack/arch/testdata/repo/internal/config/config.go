// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"

	"github.com/spf13/pflag"
)

var file = os.Getenv("MILLRACE_CONFIG")
