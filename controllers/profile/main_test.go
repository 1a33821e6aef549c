// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"os"
	"testing"

	"github.com/millrace-ml/millrace/internal/envtest"
)

func TestMain(m *testing.M) { os.Exit(envtest.Main(m)) }
