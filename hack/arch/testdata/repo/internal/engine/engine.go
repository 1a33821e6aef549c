// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

func write(c client.Client) time.Time {
	go func() {}()
	return time.Now()
}
