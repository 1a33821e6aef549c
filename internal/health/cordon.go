// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"slices"
	"time"
)

// grounds are asked of a node that may be cordoned. Silence and taints are not among them: Kubernetes itself keeps pods away then.
var grounds = []func(Evidence, Policy, time.Time) Judgement{conditions, failures, rejections}

// Cordon weighs the evidence against a node from all who have some, and tells whether nobody should use it.
func Cordon(e Evidence, p Policy) Judgement {
	for _, ask := range grounds {
		if j := ask(e, p, time.Time{}); j.Verdict == Bad && !p.Off {
			return j
		}
	}
	return Judgement{Verdict: Healthy}
}

// Fuse adds to the evidence what a job holds against a node: the devices that failed below its pods and how many pods were turned away.
func (e Evidence) Fuse(devices []string, rejections int32) Evidence {
	e.Devices = slices.Concat(e.Devices, devices)
	slices.Sort(e.Devices)
	e.Devices = slices.Compact(e.Devices)
	e.Rejections += rejections
	return e
}
