// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/test/golden"
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

// TestPlanNamesTheFieldAndTheRemedy reads what people get wrong first.
func TestPlanNamesTheFieldAndTheRemedy(t *testing.T) {
	got := call(t, nil, nil, "plan", "-f", "testdata/plan/wrong.in.yaml", "-o", "table")
	if got.code != ExitError {
		t.Errorf("exit code %d", got.code)
	}
	golden.Compare(t, "testdata/plan/wrong.want.txt", []byte(got.err))
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

const ganged = `apiVersion: millrace.dev/v1alpha1
kind: TrainingJob
metadata: {name: digits}
spec:
  framework: MPI
  roles:
  - {name: Launcher, template: {spec: {containers: [{name: mpi, image: "pi:1"}]}}}
  - {name: Worker, replicas: 2, template: {spec: {containers: [{name: mpi, image: "pi:1"}]}}}
  scheduling: {gang: {}}
`

func TestPlanAssumesWhatTheClusterHas(t *testing.T) {
	for part, tc := range map[string]struct{ group, joins string }{
		"native":       {"apiVersion: scheduling.k8s.io/v1beta1\nkind: PodGroup\n", "podGroupName: digits\n"},
		"volcano":      {"apiVersion: scheduling.volcano.sh/v1beta1\nkind: PodGroup\n", "scheduling.k8s.io/group-name: digits-0\n"},
		"kai":          {"apiVersion: scheduling.run.ai/v2alpha2\nkind: PodGroup\n", "pod-group-name: digits\n"},
		"coscheduling": {"apiVersion: scheduling.x-k8s.io/v1alpha1\nkind: PodGroup\n", "scheduling.x-k8s.io/pod-group: digits-0\n"},
	} {
		t.Run(part, func(t *testing.T) {
			got := planOf(t, ganged, "--assume", part)
			if got.code != ExitOK || !strings.Contains(got.out, tc.group) {
				t.Fatalf("want the group planned, got %+v", got)
			}
			if pods, joined := strings.Count(got.out, "kind: Pod\n"), strings.Count(got.out, tc.joins); pods != 3 || joined != 3 {
				t.Errorf("%d of %d pods join, want 3 of 3:\n%s", joined, pods, got.out)
			}
		})
	}
}

func TestPlanAssumesNoMoreThanItIsTold(t *testing.T) {
	got := planOf(t, ganged)
	if got.code != ExitOK || strings.Contains(got.out, "PodGroup") || strings.Count(got.out, "kind: Pod\n") != 3 {
		t.Errorf("want pods without a group, got %+v", got)
	}
	got = planOf(t, ganged, "--assume", "volcno")
	if got.code == ExitOK || !strings.Contains(got.err, "coscheduling, istio, kai, kueue, native, volcano") {
		t.Errorf("want the parts there are, got %+v", got)
	}
	refused := strings.Replace(ganged, "gang: {}", "gang: {scheduler: Native, roles: [{name: Worker, minMember: 1}]}", 1)
	got = planOf(t, refused, "--assume", "native")
	if got.code != ExitError || !strings.Contains(got.err, "spec.scheduling.gang.roles: Native has no minimums") {
		t.Errorf("want what the manager says, got %+v", got)
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
	if got := planOf(t, queuedJob, "--assume", "magic"); got.code != ExitError || !strings.Contains(got.err, "kueue") {
		t.Errorf("want the assumptions there are, got %+v", got)
	}
}
