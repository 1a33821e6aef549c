// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// indexSet is a set of replicas of a role, by index.
type indexSet map[int]bool

func (s indexSet) has(i int) bool { return s[i] }

// successes are the members that the status says have succeeded, by role.
func successes(job *v1alpha1.TrainingJob) map[string]indexSet {
	done := map[string]indexSet{}
	for _, role := range job.Status.Roles {
		if role.SucceededIndexes != "" {
			done[role.Name] = parseIndexes(role.SucceededIndexes)
		}
	}
	return done
}

// parseIndexes reads what formatIndexes wrote, such as 0-3,7. What is not of this form is passed over: the members are run
// again then.
func parseIndexes(text string) indexSet {
	set := indexSet{}
	for span := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(span, "-")
		first, err := strconv.Atoi(low)
		if err != nil {
			continue
		}
		last := first
		if isRange {
			if last, err = strconv.Atoi(high); err != nil {
				continue
			}
		}
		for i := first; i <= min(last, first+maxReplicas); i++ {
			set[i] = true
		}
	}
	return set
}

// maxReplicas is the schema's bound on a role.
const maxReplicas = 10000

// formatIndexes writes a set of indexes below n in spans.
func formatIndexes(set indexSet, n int) string {
	var spans []string
	for i := 0; i < n; i++ {
		if !set[i] {
			continue
		}
		first := i
		for i+1 < n && set[i+1] {
			i++
		}
		if first == i {
			spans = append(spans, strconv.Itoa(i))
			continue
		}
		spans = append(spans, fmt.Sprintf("%d-%d", first, i))
	}
	return strings.Join(spans, ",")
}

// forgetSuccesses makes members run again that had succeeded: all of them, or those of one role.
func forgetSuccesses(job *v1alpha1.TrainingJob, role string) {
	for i := range job.Status.Roles {
		if role == "" || job.Status.Roles[i].Name == role {
			job.Status.Roles[i].SucceededIndexes = ""
		}
	}
}
