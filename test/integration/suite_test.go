// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package integration runs the whole manager against a real API server, as a user that may do exactly what the generated
// role allows: a permission that is missing fails here and not at a user's.
package integration

import (
	"os"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/millrace-ml/millrace/internal/envtest"
)

var server *envtest.Server

func TestMain(m *testing.M) { os.Exit(envtest.Main(m)) }

func TestIntegration(t *testing.T) {
	server = envtest.Start(t)
	RegisterFailHandler(Fail)
	RunSpecs(t, "Manager")
}
