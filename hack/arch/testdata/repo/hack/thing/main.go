// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/millrace-ml/millrace/cmd/manager"
