// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"flag"
	"os"
	"testing"

	"github.com/millrace-ml/millrace/internal/envtest"
)

var update = flag.Bool("update", false, "write the want files instead of comparing with them")

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(envtest.Main(m))
}
