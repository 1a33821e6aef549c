// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package names

import (
	"math/rand"
	"net/http"
	"strings"

	"k8s.io/client-go/kubernetes"
)
