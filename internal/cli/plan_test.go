// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os"
	"strings"
	"testing"
)

// planOf plans a manifest.
func planOf(t *testing.T, manifest string, args ...string) said {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("job.yaml", []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	return call(t, nil, nil, append([]string{"plan", "-f", "job.yaml"}, args...)...)
}

func TestPlanNeedsNoCluster(t *testing.T) {
	text := `apiVersion: millrace.dev/v1alpha1
kind: TrainingJob
metadata: {name: digits}
spec:
  framework: PyTorch
  roles:
  - {name: Master, template: {spec: {containers: [{name: pytorch, image: "digits:1"}]}}}
---
apiVersion: millrace.dev/v1alpha1
kind: TrainingJob
metadata: {name: dig.its}
spec: {framework: MPI, roles: [{name: Launcher, template: {spec: {containers: [{name: a, image: b}]}}}]}
`
	got := planOf(t, text, "-o", "table")
	if got.code != ExitError || !strings.Contains(got.out, "digits-master-0") || !strings.Contains(got.err, "without dots") {
		t.Errorf("want the good document planned and the bad one told, got %+v", got)
	}
}

func TestPlanSaysThatAJobIsSuspended(t *testing.T) {
	got := planOf(t, `apiVersion: millrace.dev/v1alpha1
kind: TrainingJob
metadata: {name: digits}
spec:
  framework: PyTorch
  roles:
  - {name: Master, template: {spec: {containers: [{name: pytorch, image: "digits:1"}]}}}
  runPolicy:
    suspend: true
`, "-o", "table")
	want := said{
		out: "KIND      NAMESPACE   NAME     VERB    FOR\nService   default     digits   apply   TrainingJob/digits\n",
		err: `note: job.yaml:9: document 1: TrainingJob "digits": spec.runPolicy.suspend is true: the pods follow when it is set to false` + "\n",
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

const queuedJob = `apiVersion: millrace.dev/v1alpha1
kind: TrainingJob
metadata: {name: digits}
spec:
  framework: PyTorch
  scheduling: {queue: team-a}
  roles:
  - {name: Master, template: {spec: {containers: [{name: pytorch, image: "digits:1"}]}}}
`

func TestPlanOfAJobWithAQueueSaysThatKueueIsNeeded(t *testing.T) {
	got := planOf(t, queuedJob, "-o", "table")
	if got.code != ExitOK || strings.Contains(got.out, "Pod") || !strings.Contains(got.err, "(QueueUnavailable): spec.scheduling.queue: ") {
		t.Errorf("want no pod and the reason, got %+v", got)
	}
}

func TestPlanAssumesKueue(t *testing.T) {
	got := planOf(t, queuedJob, "-o", "table", "--assume", "kueue")
	want := said{
		out: "KIND       NAMESPACE   NAME                 VERB     FOR\n" +
			"Service    default     digits               apply    TrainingJob/digits\n" +
			"Workload   default     trainingjob-digits   create   TrainingJob/digits\n" +
			"Pod        default     digits-master-0      create   TrainingJob/digits\n",
		err: `note: job.yaml:1: document 1: TrainingJob "digits": the pods come later (QueuePending): The job is about to enter queue team-a.` + "\n",
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := planOf(t, queuedJob, "--assume", "magic"); got.code != ExitError || !strings.Contains(got.err, "know kueue") {
		t.Errorf("want the assumptions there are, got %+v", got)
	}
}
