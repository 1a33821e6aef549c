// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"flag"
	"os"
	"testing"

	"github.com/millrace-ml/millrace/internal/envtest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(envtest.Main(m))
}
