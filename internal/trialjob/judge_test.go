// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trialjob

import (
	"os"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

func jobOf(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestHowJobsGo(t *testing.T) {
	for name, c := range map[string]struct {
		job  string
		want State
	}{
		"a Job that is new":             {`{apiVersion: batch/v1, kind: Job}`, Waiting},
		"a Job with active pods":        {`{apiVersion: batch/v1, kind: Job, status: {active: 2}}`, Running},
		"a suspended Job":               {`{apiVersion: batch/v1, kind: Job, spec: {suspend: true}, status: {active: 0}}`, Queued},
		"a Job that failed":             {`{apiVersion: batch/v1, kind: Job, status: {conditions: [{type: Failed, status: "True"}]}}`, Failed},
		"a TrainingJob in a queue":      {`{apiVersion: millrace.dev/v1alpha1, kind: TrainingJob, status: {phase: Pending}}`, Waiting},
		"a TrainingJob that is refused": {`{apiVersion: millrace.dev/v1alpha1, kind: TrainingJob, status: {conditions: [{type: Accepted, status: "False"}]}}`, Failed},
		"a suspended PyTorchJob":        {`{apiVersion: kubeflow.org/v1, kind: PyTorchJob, spec: {runPolicy: {suspend: true}}}`, Queued},
		"a Workflow in error":           {`{apiVersion: argoproj.io/v1alpha1, kind: Workflow, status: {phase: Error}}`, Failed},
		"a PipelineRun that runs":       {`{apiVersion: tekton.dev/v1, kind: PipelineRun, status: {conditions: [{type: Succeeded, status: Unknown}]}}`, Running},
		"a PipelineRun that failed":     {`{apiVersion: tekton.dev/v1, kind: PipelineRun, status: {conditions: [{type: Succeeded, status: "False"}]}}`, Failed},
		"a RayJob that succeeded":       {`{apiVersion: ray.io/v1, kind: RayJob, status: {jobStatus: SUCCEEDED}}`, Succeeded},
	} {
		if got := Judge(v1alpha1.TrialTemplate{}, jobOf(t, c.job)).State; got != c.want {
			t.Errorf("%s is %s, want %s", name, got, c.want)
		}
	}
}

func TestConditionsOfTheUser(t *testing.T) {
	job := jobOf(t, `{apiVersion: example.com/v1, kind: Simulation, status: {state: DONE, steps: [{phase: Succeeded}]}}`)
	for name, c := range map[string]struct {
		success v1alpha1.JobCondition
		want    State
	}{
		"CEL that is met":                 {v1alpha1.JobCondition{CEL: "job.status.state == 'DONE'"}, Succeeded},
		"CEL over what is not there":      {v1alpha1.JobCondition{CEL: "job.status.result.value > 3"}, Running},
		"CEL that works too much":         {v1alpha1.JobCondition{CEL: "[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, [1,2,3,4,5,6,7,8,9].all(d, [1,2,3,4,5,6,7,8,9].all(e, [1,2,3,4,5,6,7,8,9].all(f, a+b+c+d+e+f > 0))))))"}, Running},
		"a path of Katib that finds some": {v1alpha1.JobCondition{GJSON: `status.steps.#(phase=="Succeeded")#`}, Succeeded},
		"Katib's path of a Workflow":      {v1alpha1.JobCondition{GJSON: `status.[@this].#(state=="DONE")#`}, Succeeded},
		"a path of Katib that does not":   {v1alpha1.JobCondition{GJSON: `status.steps.#(phase=="Failed")#`}, Running},
	} {
		if got := Judge(v1alpha1.TrialTemplate{Success: &c.success}, job).State; got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	wrong := v1alpha1.TrialTemplate{
		Job: &runtime.RawExtension{Raw: []byte(`{"apiVersion":"batch/v1","kind":"Job"}`)}, Success: &v1alpha1.JobCondition{CEL: "job.status."},
	}
	if Check(wrong) == nil {
		t.Error("an expression that cannot be read is not told")
	}
}

// TestNothingThatTheManagerMayMakeForOtherReasons: whoever may create a Trial must not get a Secret or a role by it.
func TestNothingThatTheManagerMayMakeForOtherReasons(t *testing.T) {
	text, err := os.ReadFile("../../config/rbac/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var role rbacv1.ClusterRole
	if err := yaml.Unmarshal(text, &role); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, rule := range role.Rules {
		if !slices.Contains(rule.Verbs, "create") {
			continue
		}
		for _, group := range rule.APIGroups {
			checked++
			if Refused(schema.GroupVersionKind{Group: group, Version: "v1", Kind: "Anything"}) == "" {
				t.Errorf("the manager may create %v of %q, and a Trial could make one", rule.Resources, group)
			}
		}
	}
	if checked == 0 {
		t.Fatal("the role lets nothing be created")
	}
}

// TestPathsCannotGrow: each step of these doubles what it is given; eighteen made seven megabytes of a Job, and there is room for hundreds.
func TestPathsCannotGrow(t *testing.T) {
	job := jobOf(t, `{apiVersion: batch/v1, kind: Job}`)
	for _, step := range []string{"[@this,@this]", `{"a":@this,"b":@this}`, "@tostr", "@this.@tostr"} {
		path := v1alpha1.JobCondition{GJSON: step + strings.Repeat("|"+step, 100)}
		if v := Judge(v1alpha1.TrialTemplate{Success: &path}, job); v.State == Succeeded || v.Wrong == "" {
			t.Errorf("%s is followed: %+v", step, v)
		}
		template := v1alpha1.TrialTemplate{Failure: &path, Job: &runtime.RawExtension{Raw: []byte(`{"apiVersion":"batch/v1","kind":"Job"}`)}}
		if err := Check(template); err == nil || !strings.HasPrefix(err.Error(), "trialTemplate.failure.gjson: ") {
			t.Errorf("%s: got %v, want it refused", step, err)
		}
	}
}
