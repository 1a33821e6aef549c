// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controllers lists the kinds Millrace runs. Who owns what:
//
//	TrainingJob   pods, one headless Service
//
// Each kind is a package of its own that imports no other kind: kinds meet through the API only.
package controllers
