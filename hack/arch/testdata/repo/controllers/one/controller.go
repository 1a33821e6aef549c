// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package one

import (
	"context"
	"os"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/cmd/manager"
	"github.com/millrace-ml/millrace/controllers/one/testsupport"
	"github.com/millrace-ml/millrace/test/e2e"
)

func observe(ctx context.Context, r client.Reader) {}

func write(ctx context.Context, c client.Client) { //nolint:unparam // a reason does not help
	go observe(ctx, c)
	_ = os.Getenv("HOME")
}
