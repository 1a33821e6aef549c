// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package experiment

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/study"
	"github.com/millrace-ml/millrace/internal/suggest"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

// TestCurvesOfOthersStopTrials where they are of the same metric: a curve is of the first objective of its experiment.
func TestCurvesOfOthersStopTrials(t *testing.T) {
	for first, stopped := range map[string]bool{"loss": true, "error": false} {
		e := search("Random", 1, 0)
		e.CreationTimestamp = metav1.NewTime(noon)
		e.Spec.EarlyStopping = &v1alpha1.EarlyStopping{Name: "MedianStop", Settings: []v1alpha1.SearchSetting{{Name: "start_step", Value: "1"}}}
		var records []study.Record
		for i := range 3 {
			records = append(records, study.Record{
				Name: fmt.Sprintf("old-%d", i), Assignment: suggest.Assignment{"lr": "0.1", "width": "8"}, Phase: v1alpha1.PhaseSucceeded, Ended: noon,
				Metrics: []v1alpha1.MetricValue{{Name: first, Value: "0.2"}, {Name: "loss", Value: "0.2"}},
				Curve:   []v1alpha1.CurvePoint{{Step: "1", Value: "0.4"}, {Step: "2", Value: "0.2"}},
			})
		}
		l := newLife(t, e)
		l.w.Prior = evidence(e, "old", records)
		for i := range l.w.Prior {
			l.w.Prior[i].Prior = true
		}
		l.pass(all)
		l.run("digits-1")
		l.w.Live = map[uid]trialjob.Measured{
			l.find("digits-1").UID: {Series: map[string]trialjob.Series{"loss": {Curve: []trialjob.Point{{Step: 1, Value: 0.9}, {Step: 2, Value: 0.8}}}}},
		}
		l.pass(all)
		if stop := l.find("digits-1").Spec.Stop; len(l.w.Prior) != 3 || (stop != nil) != stopped {
			t.Errorf("with %d curves of %s: %+v", len(l.w.Prior), first, stop)
		}
	}
}
