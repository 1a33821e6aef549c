// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"os"
	"time"

	"k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)
