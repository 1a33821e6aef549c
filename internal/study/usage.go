// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package study

import (
	"strings"
	"time"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// Usage is what trials have used of a resource: hours of one device, core, GiB or trial.
type Usage struct {
	// Ended is what those used that have ended, each from when it was seen to run to its end.
	Ended float64
	// Held is how much of it is held now.
	Held float64
	// since is when one of those that hold it began, later the sum of what is held times the hours from then to when it came to be held.
	since time.Time
	later float64
}

// Running is what trials that have not ended have used until now.
func (u Usage) Running(now time.Time) float64 { return max(0, u.Held*now.Sub(u.since).Hours()-u.later) }

// Usage is what the trials have used of one of Study.Resources; false of another.
func (s Summary) Usage(resource string) (Usage, bool) {
	u, summed := s.usage[resource]
	return u, summed
}

// used sums up what trials have used of a resource.
func (s Study) used(resource string) Usage {
	var u Usage
	for i := range s.Records {
		r := &s.Records[i]
		amount := r.amount(resource)
		switch {
		case amount == 0 || r.Started.IsZero():
		case r.Over():
			u.Ended += amount * max(0, r.Ended.Sub(r.Started).Hours())
		default:
			if u.since.IsZero() {
				u.since = r.Started
			}
			u.Held += amount
			u.later += amount * r.Started.Sub(u.since).Hours()
		}
	}
	return u
}

// inBytes are the resources that are counted in GiB, by what their names begin with.
var inBytes = []string{"memory", "ephemeral-storage", "hugepages-"}

// amount is how much of a resource a trial holds while it runs.
func (r *Record) amount(resource string) float64 {
	if resource == v1alpha1.ResourceTrials {
		return 1
	}
	for _, one := range r.Requests {
		if one.Resource != resource || one.Quantity == nil {
			continue
		}
		for _, begin := range inBytes {
			if strings.HasPrefix(resource, begin) {
				return max(0, one.Quantity.AsApproximateFloat64()) / (1 << 30)
			}
		}
		return max(0, one.Quantity.AsApproximateFloat64())
	}
	return 0
}
