// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"github.com/millrace-ml/millrace/controllers/one"
	"github.com/millrace-ml/millrace/controllers/two"
)
