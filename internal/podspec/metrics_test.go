// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/observe"
	"github.com/millrace-ml/millrace/test/golden"
)

// Each case is testdata/metrics-CASE.in.yaml, a pod spec, and what it becomes in .want.yaml.
func TestMetrics(t *testing.T) {
	url := names.MetricsURL("millrace-system", "team", "digits-1")
	collect := func(path string, format observe.Format, filters ...string) func(*corev1.PodSpec) {
		return func(s *corev1.PodSpec) {
			AddCollector(s, 0, Collector{
				Image: "millrace/manager:1", URL: url, Path: path, Format: format, Metrics: []string{"accuracy", "loss"}, Filters: filters,
			})
		}
	}
	for name, edit := range map[string]func(*corev1.PodSpec){
		"push":        func(s *corev1.PodSpec) { AddPush(s, 0, url) },
		"file":        collect("/var/log/katib/metrics.log", observe.FormatText, `(\w+)=(\d+)`),
		"json":        collect("/logs/run/metrics.json", observe.FormatJSON),
		"tensorboard": collect("/logs", observe.FormatTensorBoard),
	} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile("testdata/metrics-" + name + ".in.yaml")
			if err != nil {
				t.Fatal(err)
			}
			var spec corev1.PodSpec
			if err := yaml.UnmarshalStrict(text, &spec); err != nil {
				t.Fatal(err)
			}
			edit(&spec)
			got, err := yaml.Marshal(spec)
			if err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, "testdata/metrics-"+name+".want.yaml", got)
		})
	}
}
