// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"math"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/condition"
	"github.com/millrace-ml/millrace/internal/study"
)

// TestForgedNumbersAreLeftOut: whoever edits a namespace makes ConfigMaps and Trials that look like the manager's own.
func TestForgedNumbersAreLeftOut(t *testing.T) {
	accepted := func(l *life) string { return condition.Get(l.e, v1alpha1.ConditionAccepted).Message }
	for _, line := range []string{
		`{"name":"x","index":1,"proposal":300000000000,"phase":"Succeeded"}`, `{"name":"x","index":1,"proposal":-1}`, `{"name":"x"}`, `{`, `[]`,
		`{"name":"x","index":-1,"proposal":1}`, `{"name":"x","index":1,"proposal":1,"follows":[9223372036854775807]}`,
	} {
		l := newLife(t, search("Random", 2, 4))
		page := &corev1.ConfigMap{Data: map[string]string{study.PageKey: line + "\n" + study.Encode([]study.Record{{Name: "digits-1", Index: 1, Proposal: 1}})}}
		page.Name, page.UID = "forged", "forged"
		l.w.Pages = []Page{newPages().decode(page)}
		l.pass(all)
		if got := accepted(l); !strings.Contains(got, "ConfigMap forged is left out in part: 1 lines are no records: line 1: ") {
			t.Errorf("%s: %s", line, got)
		}
		if l.e.Status.Trials.Created != 1 {
			t.Errorf("%s: %d trials", line, l.e.Status.Trials.Created)
		}
	}
	for _, n := range []int32{math.MaxInt32, math.MinInt32, 0} {
		l := newLife(t, search("Random", 2, 4))
		l.pass(all)
		l.w.Trials = append(l.w.Trials, *l.w.Trials[0].DeepCopy())
		forged := &l.w.Trials[2]
		forged.Name, forged.UID, forged.Spec.Proposal = "forged", "forged", n
		l.finish("forged", v1alpha1.PhaseSucceeded, "0")
		l.pass(all)
		if got := accepted(l); !strings.Contains(got, "Trial forged is left out: spec.proposal ") || l.e.Status.Trials.Created != 2 || l.e.Status.Best != nil {
			t.Errorf("%d: %s, %+v", n, got, l.e.Status.Trials)
		}
	}
}
