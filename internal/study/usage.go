// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package study

import (
	"strings"
	"time"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// Usage is what trials have used of a resource.
type Usage struct {
	// Ended is what those used that have ended, Running what the others have until now: hours of one device, core, GiB or trial.
	Ended, Running float64
	// Held is how much of it is held now.
	Held float64
}

// Usage is what the trials have used of a resource, from when each was seen to run to its end.
func (s Study) Usage(resource string, now time.Time) Usage {
	var u Usage
	for _, r := range s.Records {
		amount := r.amount(resource)
		switch {
		case amount == 0 || r.Started.IsZero():
		case r.Over():
			u.Ended += amount * max(0, r.Ended.Sub(r.Started).Hours())
		default:
			u.Running += amount * max(0, now.Sub(r.Started).Hours())
			u.Held += amount
		}
	}
	return u
}

// inBytes are the resources that are counted in GiB, by what their names begin with.
var inBytes = []string{"memory", "ephemeral-storage", "hugepages-"}

// amount is how much of a resource a trial holds while it runs.
func (r Record) amount(resource string) float64 {
	if resource == v1alpha1.ResourceTrials {
		return 1
	}
	for _, one := range r.Requests {
		if one.Resource != resource || one.Quantity == nil {
			continue
		}
		for _, begin := range inBytes {
			if strings.HasPrefix(resource, begin) {
				return one.Quantity.AsApproximateFloat64() / (1 << 30)
			}
		}
		return one.Quantity.AsApproximateFloat64()
	}
	return 0
}
