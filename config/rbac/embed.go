// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rbac carries the role of the manager, so that what a cluster gives it can be compared with what it needs.
package rbac

import _ "embed"

// Role is the ClusterRole of the manager.
//
//go:embed role.yaml
var Role []byte
