// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package extended runs Millrace's manager with other systems built from their modules, on a real API server whose kubelets are
// played. make e2e-extended runs it.
package extended
