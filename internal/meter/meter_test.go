// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package meter

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/collect"
	"github.com/millrace-ml/millrace/internal/observe"
	"github.com/millrace-ml/millrace/internal/store"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

// fake is a collector that knows what a test says.
type fake struct {
	targets  []collect.Target
	snapshot collect.Snapshot
}

func (f *fake) Want(_ store.Trial, targets ...collect.Target) { f.targets = targets }
func (f *fake) Snapshot(store.Trial) collect.Snapshot         { return f.snapshot }
func (f *fake) Forget(types.NamespacedName)                   { f.targets = nil }
func (f *fake) Source() source.Source                         { return nil }

func pod(name string, labels map[string]string, state corev1.ContainerState) corev1.Pod {
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Labels: labels}}
	p.Spec.RestartPolicy = corev1.RestartPolicyNever
	p.Spec.Containers = []corev1.Container{{Name: "main"}, {Name: "side"}}
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.7", ContainerStatuses: []corev1.ContainerStatus{{Name: "main", State: state}}}
	return p
}

var (
	running = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	waiting = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}
	done    = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
)

func TestWhichPodsTell(t *testing.T) {
	first, second := map[string]string{"index": "0"}, map[string]string{"index": "1"}
	for name, c := range map[string]struct {
		kind   v1alpha1.CollectorKind
		labels map[string]string
		chosen bool
		pods   []corev1.Pod
		want   []string
	}{
		"the first one":                        {"", first, false, []corev1.Pod{pod("a", first, running), pod("b", second, running)}, []string{"Log a"}},
		"all, when none is marked":             {"", first, false, []corev1.Pod{pod("a", nil, running), pod("b", nil, done)}, []string{"Log a", "Log b ended"}},
		"none, when the user's labels are not": {"", first, true, []corev1.Pod{pod("a", nil, running)}, nil},
		"none that has not started":            {"", first, false, []corev1.Pod{pod("a", first, waiting)}, nil},
		"an endpoint": {
			v1alpha1.CollectPrometheus, first, false, []corev1.Pod{pod("a", first, running)}, []string{"Scrape a http://10.0.0.7:8080/metrics"},
		},
		"who pushes, until the pod has ended": {v1alpha1.CollectFile, first, false, []corev1.Pod{pod("a", first, done)}, []string{"Push a"}},
	} {
		t.Run(name, func(t *testing.T) {
			collector := &fake{}
			New(collector).Follow(trialjob.Target{
				Labels: c.labels, Chosen: c.chosen, Pods: c.pods, Metrics: []string{"loss"}, Collector: v1alpha1.MetricsCollector{Kind: c.kind},
			})
			var got []string
			for _, target := range collector.targets {
				line := string(target.Kind) + " " + target.Pod
				if target.URL != "" {
					line += " " + target.URL
				}
				if target.Ended {
					line += " ended"
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("targets (-want +got):\n%s", diff)
			}
		})
	}
}

// A trial is drained once its job and all its pods have ended and were read: before it there may be pods that are not seen yet.
func TestWhenATrialIsDrained(t *testing.T) {
	collector := &fake{snapshot: collect.Snapshot{Known: true, Drained: true}}
	for name, c := range map[string]struct {
		ended bool
		pods  []corev1.Pod
		want  bool
	}{
		"no pod is seen":   {true, nil, false},
		"the job goes on":  {false, []corev1.Pod{pod("a", nil, done)}, false},
		"a pod goes on":    {true, []corev1.Pod{pod("a", nil, running)}, false},
		"all is read":      {true, []corev1.Pod{pod("a", nil, done)}, true},
		"nothing is known": {true, []corev1.Pod{pod("a", nil, done)}, false},
	} {
		collector.snapshot.Known = name != "nothing is known"
		m := New(collector)
		m.Follow(trialjob.Target{UID: "uid", Ended: c.ended, Pods: c.pods})
		if got, _ := m.Measured("uid"); got.Drained != c.want {
			t.Errorf("%s: drained is %v, want %v", name, got.Drained, c.want)
		}
	}
}

func TestCurvesHaveSteps(t *testing.T) {
	curve := collect.Curve{Points: []collect.Point{{Step: observe.NoStep, Value: 3}, {Step: observe.NoStep, Value: 2}}}
	curve.Count = 4
	got := seriesOf(curve).Curve
	if diff := cmp.Diff([]trialjob.Point{{Step: 2, Value: 3}, {Step: 4, Value: 2}}, got); diff != "" {
		t.Errorf("a thinned curve without steps (-want +got):\n%s", diff)
	}
	curve.Points[0].Step, curve.Points[1].Step = 10, 20
	if got := seriesOf(curve).Curve; got[0].Step != 10 || got[1].Step != 20 {
		t.Errorf("steps are changed: %v", got)
	}
}
