// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

// precision is that of hours in specs and statuses: three digits behind the point.
const precision = 1000

// budgetUsed is a budget of which there is nothing left.
func budgetUsed(e *v1alpha1.Experiment, _ World, s state) (decision, bool) {
	for _, b := range e.Spec.Budget {
		if left, _ := leftOf(e, s, b); left <= 0 {
			return ending(true, s, v1alpha1.ReasonBudgetUsedUp, fmt.Sprintf("The trials used the %s hours of %s that spec.budget allows.", b.Hours, b.Resource))
		}
	}
	return decision{}, false
}

// leftOf is how many hours there are left of a budget, and how long that lasts if the trials that run go on; false where none uses it.
func leftOf(e *v1alpha1.Experiment, s state, b v1alpha1.ResourceHours) (left float64, lasts time.Duration) {
	u := s.study.Usage(b.Resource)
	left = trialjob.Real(b.Hours) - max(hoursOf(e.Status.Used, b.Resource), u.Ended+u.Running(s.now))
	if left < 1e-9 {
		return 0, 0
	}
	if u.Held == 0 {
		return left, math.MaxInt64
	}
	// Later rather than too early, when there would still be a moment left.
	return left, time.Duration(min(left/u.Held*float64(time.Hour), math.MaxInt64/2)) + time.Millisecond
}

// hoursOf is what a list has of a resource.
func hoursOf(list []v1alpha1.ResourceHours, resource string) float64 {
	i := slices.IndexFunc(list, func(u v1alpha1.ResourceHours) bool { return u.Resource == resource })
	if i < 0 {
		return 0
	}
	return trialjob.Real(list[i].Hours)
}

// used is what the status says of the budget. What runs is left out, or each pass would write the status anew, but for the moment in which
// the experiment ends. What was written stays when a Trial is deleted: deleting gives no hour back.
func used(e *v1alpha1.Experiment, s state, ends bool) []v1alpha1.ResourceHours {
	var all []v1alpha1.ResourceHours
	for _, b := range e.Spec.Budget {
		u := s.study.Usage(b.Resource)
		hours := u.Ended
		if ends {
			hours += u.Running(s.now)
		}
		// Rounded up, so that what was used up stays so; what floating point adds is no hour.
		hours = max(hoursOf(e.Status.Used, b.Resource), math.Ceil(hours*precision-1e-6)/precision)
		all = append(all, v1alpha1.ResourceHours{Resource: b.Resource, Hours: strconv.FormatFloat(hours, 'f', -1, 64)})
	}
	return all
}
