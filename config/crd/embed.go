// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package crd carries the CustomResourceDefinitions of Millrace, so that manifests can be checked without a cluster.
package crd

import "embed"

// FS holds the definitions, one file each, below bases.
//
//go:embed bases/*.yaml
var FS embed.FS
