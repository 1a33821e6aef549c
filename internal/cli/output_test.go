// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// shape is what a program that reads the output looks for.
type shape struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Items []struct {
		Kind string `json:"kind"`
		Pod  string `json:"pod"`

		Requests map[string]string `json:"requests"`
	} `json:"items"`
}

func TestOutputIsForProgramsToo(t *testing.T) {
	worker := pod("worker", "0")
	worker.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m")}
	done := job(metav1.Condition{Type: v1alpha1.ConditionSucceeded, Status: metav1.ConditionTrue})
	failed := job(metav1.Condition{Type: v1alpha1.ConditionSucceeded, Status: metav1.ConditionFalse})
	cases := map[string]struct {
		objects  []client.Object
		args     []string
		want     string
		wantCode int
	}{
		"a list of one job":        {[]client.Object{done}, []string{"get"}, "{kind: List, items: [{kind: TrainingJob}]}", ExitOK},
		"a list of no job":         {nil, []string{"get", "all"}, "{kind: List, items: []}", ExitOK},
		"a job by its name":        {[]client.Object{done}, []string{"get", "digits"}, "{kind: TrainingJob, metadata: {name: digits}}", ExitOK},
		"what pods use":            {[]client.Object{done, worker}, []string{"top"}, "{items: [{pod: digits-worker-0, requests: {cpu: 500m}}]}", ExitOK},
		"no pods that use a thing": {[]client.Object{done}, []string{"top", "digits"}, "{items: []}", ExitOK},
		"a job that was awaited":   {[]client.Object{done}, []string{"wait", "digits"}, "{kind: TrainingJob, metadata: {name: digits}}", ExitOK},
		"a job that has failed":    {[]client.Object{failed}, []string{"wait", "digits"}, "{kind: TrainingJob, metadata: {name: digits}}", ExitFailed},
		"a job that takes long":    {[]client.Object{job()}, []string{"wait", "digits", "--timeout", "1ms"}, "{kind: TrainingJob, metadata: {name: digits}}", ExitTimeout},
	}
	for name, tc := range cases {
		for _, format := range []string{"json", "yaml"} {
			t.Run(name+" as "+format, func(t *testing.T) {
				said := call(t, tc.objects, nil, append(tc.args, "-o", format)...)
				var got, want shape
				if err := yaml.Unmarshal([]byte(said.out), &got); err != nil {
					t.Fatalf("%v in %s", err, said.out)
				}
				if err := yaml.Unmarshal([]byte(tc.want), &want); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" || said.code != tc.wantCode {
					t.Errorf("exit code %d, said %q, output (-want +got):\n%s", said.code, said.err, diff)
				}
			})
		}
	}
}
