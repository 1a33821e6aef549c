// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trialjob

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/observe"
	"github.com/millrace-ml/millrace/internal/podspec"
)

// Server is where metrics are pushed to.
type Server struct {
	// Namespace is the manager's; empty where there is no server.
	Namespace string `json:"namespace"`
	// Launcher is the image with the launcher, which reads files.
	Launcher string `json:"launcher"`
}

// Pushes is true of collectors to which something in the pod sends the metrics.
func Pushes(c v1alpha1.MetricsCollector) bool {
	return c.Kind == v1alpha1.CollectPush || c.Kind == v1alpha1.CollectFile || c.Kind == v1alpha1.CollectTensorBoard
}

// paths are where metrics are looked for when a collector names no path.
var paths = map[v1alpha1.CollectorKind]string{v1alpha1.CollectFile: "/var/log/millrace/metrics.log", v1alpha1.CollectTensorBoard: "/var/log/millrace/events"}

// Instrument gives the primary pods of a job what they need to send metrics: an address and a token and, where they are read from files,
// a sidecar that reads them. Nothing is added to a job whose metrics are read from outside.
func Instrument(t *v1alpha1.Trial, job *unstructured.Unstructured, server Server) error {
	if !Pushes(t.Spec.MetricsCollector) {
		return nil
	}
	if server.Namespace == "" {
		return fmt.Errorf("metricsCollector.kind: %s needs the manager's server for metrics, which is off: use StdOut or Prometheus", t.Spec.MetricsCollector.Kind)
	}
	var failed error
	found := false
	for _, part := range primaryTemplates(t, job) {
		EachPodTemplate(part, func(template map[string]any) {
			found = true
			if err := instrument(t, template, server); err != nil {
				failed = err
			}
		})
	}
	if !found {
		return fmt.Errorf("metricsCollector.kind: a %s has no pod template to which %s could be added: use StdOut or Prometheus",
			job.GetKind(), t.Spec.MetricsCollector.Kind)
	}
	return failed
}

// primaryTemplates are the parts of a job with the templates of its primary pods: of a TrainingJob the role that leads, of others all.
func primaryTemplates(t *v1alpha1.Trial, job *unstructured.Unstructured) []any {
	role := TargetOf(t, job, false).Labels[names.Role]
	roles, _, _ := unstructured.NestedFieldNoCopy(job.Object, "spec", "roles")
	list, _ := roles.([]any)
	for _, r := range list {
		one, _ := r.(map[string]any)
		if name, _ := one["name"].(string); role != "" && names.Lower(name) == role {
			return []any{one}
		}
	}
	return []any{job.Object}
}

func instrument(t *v1alpha1.Trial, template map[string]any, server Server) error {
	content, _ := template["spec"].(map[string]any)
	var spec corev1.PodSpec
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, &spec); err != nil {
		return fmt.Errorf("trialTemplate.job: reading its pod template: %w", err)
	}
	main := 0
	if p := t.Spec.Template.PrimaryPod; p != nil && p.Container != "" {
		main = slices.IndexFunc(spec.Containers, func(c corev1.Container) bool { return c.Name == p.Container })
	}
	if main < 0 || main >= len(spec.Containers) {
		return fmt.Errorf("trialTemplate.primaryPod.container: the pod template has no container of that name")
	}
	url := names.MetricsURL(server.Namespace, t.Namespace, t.Name)
	if c := t.Spec.MetricsCollector; c.Kind == v1alpha1.CollectPush {
		podspec.AddPush(&spec, main, url)
	} else {
		podspec.AddCollector(&spec, main, podspec.Collector{
			Image: server.Launcher, URL: url, Path: cmp.Or(c.Path, paths[c.Kind]), Format: formatOf(c), Metrics: TargetOf(t, &unstructured.Unstructured{}, false).Metrics,
			Filters: c.Filters,
		})
	}
	made, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&spec)
	if err != nil {
		return fmt.Errorf("trialTemplate.job: writing its pod template: %w", err)
	}
	template["spec"] = made
	return nil
}

func formatOf(c v1alpha1.MetricsCollector) observe.Format {
	if c.Kind == v1alpha1.CollectTensorBoard {
		return observe.FormatTensorBoard
	}
	return observe.Format(cmp.Or(c.Format, v1alpha1.FormatText))
}
