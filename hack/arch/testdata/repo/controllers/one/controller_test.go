// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package one

import (
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/controllers/two"
	"github.com/millrace-ml/millrace/test/e2e"
)

func helper(c client.Client) { go time.Sleep(time.Now().Sub(time.Time{})) }
