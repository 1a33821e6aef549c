// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package launcher

import (
	"os"

	"k8s.io/client-go/rest"
)
