// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trialjob

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/millrace-ml/millrace/internal/names"
)

// Row is what there is to know about a kind of jobs.
type Row struct {
	Group string
	Kinds []string
	// success, failure, running and queued find the state of a job. Without running a job that is not queued runs.
	success, failure, running, queued []sign
	// Primary are labels of the pod whose metrics are the trial's.
	Primary map[string]string
	// podLabels is where labels of pods are that have no template.
	podLabels []string
}

// sign finds out that a job is in a state, by a condition or by the value of a field.
type sign struct {
	condition, status string
	field             []string
	values            []string
}

func is(condition string) []sign { return []sign{{condition: condition, status: "True"}} }

func field(path string, values ...string) sign {
	return sign{field: strings.Split(path, "."), values: values}
}

// suspended are the fields by which jobs are kept from running.
var suspended = []sign{field("spec.suspend", "true"), field("spec.runPolicy.suspend", "true"), {condition: "Suspended", status: "True"}}

// rows are the kinds that need no conditions of their own.
var rows = []Row{
	{
		Group: "batch", Kinds: []string{"Job"}, success: is("Complete"), failure: is("Failed"), running: []sign{field("status.active")},
		Primary: map[string]string{"batch.kubernetes.io/job-completion-index": "0"},
	},
	{
		Group: "millrace.dev", Kinds: []string{"TrainingJob"}, success: is("Succeeded"),
		failure: []sign{{condition: "Succeeded", status: "False"}, {condition: "Accepted", status: "False"}},
		running: []sign{field("status.phase", "Starting", "Running", "Restarting")},
		Primary: map[string]string{names.Index: "0"},
	},
	{
		Group: "jobset.x-k8s.io", Kinds: []string{"JobSet"}, success: is("Completed"), failure: is("Failed"),
		Primary: map[string]string{"jobset.sigs.k8s.io/job-global-index": "0", "batch.kubernetes.io/job-completion-index": "0"},
	},
	{
		Group: "trainer.kubeflow.org", Kinds: []string{"TrainJob"}, success: is("Complete"), failure: is("Failed"),
		Primary: map[string]string{"jobset.sigs.k8s.io/replicatedjob-name": "node", "batch.kubernetes.io/job-completion-index": "0"},
	},
	{
		Group: "kubeflow.org", Kinds: []string{"TFJob", "PyTorchJob", "MPIJob", "XGBoostJob", "MXJob", "PaddleJob", "JAXJob"},
		success: is("Succeeded"), failure: is("Failed"), running: is("Running"),
		Primary: map[string]string{"training.kubeflow.org/job-role": "master"},
	},
	{
		Group: "argoproj.io", Kinds: []string{"Workflow"}, success: []sign{field("status.phase", "Succeeded")},
		failure: []sign{field("status.phase", "Failed", "Error")}, running: []sign{field("status.phase", "Running")},
		podLabels: []string{"spec", "podMetadata", "labels"},
	},
	{
		Group: "tekton.dev", Kinds: []string{"PipelineRun", "TaskRun"}, success: is("Succeeded"),
		failure: []sign{{condition: "Succeeded", status: "False"}}, podLabels: []string{"metadata", "labels"},
	},
	{
		Group: "ray.io", Kinds: []string{"RayJob"}, success: []sign{field("status.jobStatus", "SUCCEEDED")},
		failure: []sign{field("status.jobStatus", "FAILED", "STOPPED")},
		running: []sign{field("status.jobStatus", "RUNNING")},
	},
	{
		Group: "sparkoperator.k8s.io", Kinds: []string{"SparkApplication"}, success: []sign{field("status.applicationState.state", "COMPLETED")},
		failure: []sign{field("status.applicationState.state", "FAILED", "SUBMISSION_FAILED")},
		running: []sign{field("status.applicationState.state", "RUNNING", "SUCCEEDING")},
	},
	{
		Group: "batch.volcano.sh", Kinds: []string{"Job"}, success: []sign{field("status.state.phase", "Completed")},
		failure: []sign{field("status.state.phase", "Failed", "Aborted", "Terminated")},
		running: []sign{field("status.state.phase", "Running", "Completing")},
	},
}

// Find returns the row of a kind.
func Find(kind schema.GroupVersionKind) (Row, bool) {
	i := slices.IndexFunc(rows, func(r Row) bool { return r.Group == kind.Group && slices.Contains(r.Kinds, kind.Kind) })
	if i < 0 {
		return Row{}, false
	}
	return rows[i], true
}

// control are the groups whose objects run the cluster, or Millrace itself. No trial makes one, whatever any role allows; nor does
// one of a kind that the manager may make for other reasons.
var control = []string{
	"", "apps", "rbac.authorization.k8s.io", "authorization.k8s.io", "authentication.k8s.io", "admissionregistration.k8s.io",
	"apiextensions.k8s.io", "apiregistration.k8s.io", "certificates.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io",
	"flowcontrol.apiserver.k8s.io", "internal.apiserver.k8s.io", "networking.k8s.io", "node.k8s.io", "policy", "resource.k8s.io",
	"scheduling.k8s.io", "scheduling.run.ai", "scheduling.volcano.sh", "scheduling.x-k8s.io", "storage.k8s.io", "snapshot.storage.k8s.io", "storagemigration.k8s.io",
	"kueue.x-k8s.io", "gateway.networking.k8s.io", "networking.istio.io", "security.istio.io", "cert-manager.io",
}

// Refused says why a trial never makes an object of a kind; empty when it may.
func Refused(kind schema.GroupVersionKind) string {
	name := kind.Kind
	if kind.Group != "" {
		name += "." + kind.Group
	}
	if slices.Contains(control, kind.Group) {
		return fmt.Sprintf("trialTemplate.job: a trial never makes a %s, which is no job: use a batch Job, a TrainingJob or another kind of workload", name)
	}
	if kind.Group == "millrace.dev" && kind.Kind != "TrainingJob" {
		return fmt.Sprintf("trialTemplate.job: a trial never makes a %s: of Millrace's own kinds it makes TrainingJobs only", name)
	}
	return ""
}

// found is what tells that a job is in a state.
func (s sign) found(job map[string]any) (Verdict, bool) {
	if s.condition != "" {
		c := condition(job, s.condition)
		if c == nil || c["status"] != s.status {
			return Verdict{}, false
		}
		return Verdict{Reason: text(c, "reason"), Message: text(c, "message"), Ended: instant(text(c, "lastTransitionTime"))}, true
	}
	value, present, err := unstructured.NestedFieldNoCopy(job, s.field...)
	if err != nil || !present {
		return Verdict{}, false
	}
	if len(s.values) == 0 {
		return Verdict{}, value != int64(0) && value != float64(0)
	}
	message, _, _ := unstructured.NestedString(job, "status", "message")
	return Verdict{Message: message}, slices.Contains(s.values, fmt.Sprint(value))
}

func condition(job map[string]any, kind string) map[string]any {
	all, _, _ := unstructured.NestedFieldNoCopy(job, "status", "conditions")
	list, _ := all.([]any)
	for _, item := range list {
		if c, ok := item.(map[string]any); ok && c["type"] == kind {
			return c
		}
	}
	return nil
}

func text(c map[string]any, key string) string {
	s, _ := c[key].(string)
	return s
}
