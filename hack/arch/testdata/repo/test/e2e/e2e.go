// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import "time"

var start = time.Now()
