// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/study"
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
	u, _ := s.study.Usage(b.Resource)
	left = trialjob.Real(b.Hours) - max(hoursOf(e.Status.Used, b.Resource), deleted(e, u, b.Resource)+u.Ended+u.Running(s.now))
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

// present is what the trials that are there count for: what runs does so once the experiment has ended, with what it had used by then.
func present(u study.Usage, completed *metav1.Time) float64 {
	if completed == nil {
		return u.Ended
	}
	return u.Ended + u.Running(completed.Time)
}

// countedOf is what was counted of a resource when the status was written.
func countedOf(e *v1alpha1.Experiment, resource string) (present, deleted float64) {
	for _, c := range e.Status.Counted {
		if c.Resource == resource {
			return trialjob.Real(c.Present), trialjob.Real(c.Deleted)
		}
	}
	return 0, 0
}

// deleted is what trials used that are gone: by so much less is there than was counted.
func deleted(e *v1alpha1.Experiment, u study.Usage, resource string) float64 {
	before, gone := countedOf(e, resource)
	if fell := before - present(u, e.Status.CompletionTime); fell > 2/fine {
		return gone + fell
	}
	return gone
}

// fine is the precision of what is counted: beside it what floating point adds is nothing.
const fine = 1e6

// fewer is true when trials that were counted are not there.
func fewer(e *v1alpha1.Experiment, s state) bool {
	return slices.ContainsFunc(e.Status.Counted, func(c v1alpha1.CountedHours) bool {
		u, summed := s.study.Usage(c.Resource)
		return summed && deleted(e, u, c.Resource) > trialjob.Real(c.Deleted)
	})
}

// count writes what was used into the status. What runs is left out, or each pass would write the status anew, but for the moment in which
// the experiment ends. It goes before the time of the end is written.
func count(e *v1alpha1.Experiment, s state, over bool) {
	var used []v1alpha1.ResourceHours
	var counted []v1alpha1.CountedHours
	end := e.Status.CompletionTime
	for _, b := range e.Spec.Budget {
		u, _ := s.study.Usage(b.Resource)
		gone := deleted(e, u, b.Resource)
		hours := gone + u.Ended
		if over && end == nil {
			hours += u.Running(s.now)
		}
		// Rounded up, so that what was used up stays so; what floating point adds is no hour.
		hours = max(hoursOf(e.Status.Used, b.Resource), math.Ceil(hours*precision-1e-6)/precision)
		used = append(used, v1alpha1.ResourceHours{Resource: b.Resource, Hours: decimal(hours)})
		var until *metav1.Time
		if over {
			until = cmp.Or(end, stamp(s.now))
		}
		counted = append(counted, v1alpha1.CountedHours{
			Resource: b.Resource, Present: decimal(math.Round(present(u, until)*fine) / fine), Deleted: decimal(math.Round(gone*fine) / fine),
		})
	}
	e.Status.Used, e.Status.Counted = used, counted
}

func decimal(hours float64) string { return strconv.FormatFloat(hours, 'f', -1, 64) }
