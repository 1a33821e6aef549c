// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// said is what a call of mill printed, and its exit code.
type said struct {
	out, err string
	code     int
}

// openLog opens a log as a cluster does.
type openLog = func(context.Context, string, string, *corev1.PodLogOptions) (io.ReadCloser, error)

// call runs mill against a cluster with these objects and logs by pod.
func call(t *testing.T, objects []client.Object, logs map[string]string, args ...string) said {
	t.Helper()
	open := func(_ context.Context, _, pod string, _ *corev1.PodLogOptions) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(logs[pod])), nil
	}
	return callOn(t, clusterOf(t, open, objects...), args...)
}

func callOn(t *testing.T, cluster *Cluster, args ...string) said {
	t.Helper()
	var out, errs bytes.Buffer
	code := program(cluster, &out, &errs).Run(t.Context(), args)
	return said{out.String(), errs.String(), code}
}

func program(cluster *Cluster, out, errs io.Writer) *Program {
	return &Program{
		Name: "mill", In: strings.NewReader(""), Out: out, Err: errs,
		Getenv: func(string) string { return "" }, Width: func(io.Writer) int { return 0 }, Now: func() time.Time { return noon },
		Connect: func(Target) (*Cluster, error) { return cluster, nil },
	}
}

func clusterOf(t *testing.T, logs openLog, objects ...client.Object) *Cluster {
	t.Helper()
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	build := fake.NewClientBuilder().WithScheme(scheme).WithRESTMapper(newMapper()).WithObjects(objects...)
	for _, k := range kinds() {
		o, err := scheme.New(k.GroupVersionKind)
		if err != nil {
			t.Fatal(err)
		}
		build.WithIndex(o.(client.Object), "metadata.name", func(o client.Object) []string { return []string{o.GetName()} })
	}
	return &Cluster{WithWatch: build.Build(), Namespace: "team", Logs: logs}
}

func job(conditions ...metav1.Condition) *v1alpha1.TrainingJob {
	return &v1alpha1.TrainingJob{
		ObjectMeta: metav1.ObjectMeta{Name: "digits", Namespace: "team", CreationTimestamp: metav1.NewTime(noon.Add(-time.Minute))},
		Spec: v1alpha1.TrainingJobSpec{Framework: v1alpha1.PyTorch, Roles: []v1alpha1.Role{
			{Name: "Master"}, {Name: "Worker", Replicas: new(int32(2))},
		}},
		Status: v1alpha1.TrainingJobStatus{Phase: v1alpha1.PhaseRunning, Ready: "3/3", Conditions: conditions},
	}
}

func pod(role, index string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "digits-" + role + "-" + index, Namespace: "team", UID: types.UID(role + index),
			Labels: map[string]string{names.TrainingJob: "digits", names.Role: role, names.Index: index},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "pytorch"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
			Name: "pytorch", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		}}},
	}
}

func TestGetListsJobs(t *testing.T) {
	got := call(t, []client.Object{job()}, nil, "get")
	want := "NAME     FRAMEWORK   PHASE     READY   RESTARTS   AGE\ndigits   PyTorch     Running   3/3     -          1m0s\n"
	if diff := cmp.Diff(said{out: want}, got, cmp.AllowUnexported(said{})); diff != "" {
		t.Error(diff)
	}
}

func TestLogsAreInTheOrderTheyWereWritten(t *testing.T) {
	logs := map[string]string{
		"digits-master-0": "2026-01-01T12:00:01.5Z one\n2026-01-01T12:00:03Z three\n",
		"digits-worker-1": "2026-01-01T12:00:02Z two\n",
	}
	objects := []client.Object{job(), pod("master", "0"), pod("worker", "1")}
	cases := map[string]struct {
		args     []string
		wantOut  string
		wantCode int
	}{
		"all replicas":           {nil, "master-0 | one\nworker-1 | two\nmaster-0 | three\n", ExitOK},
		"one role":               {[]string{"--role", "worker"}, "worker-1 | two\n", ExitOK},
		"one index":              {[]string{"--index", "0", "--timestamps"}, "master-0 | 2026-01-01T12:00:01.5Z one\nmaster-0 | 2026-01-01T12:00:03Z three\n", ExitOK},
		"no log of a former run": {[]string{"--previous"}, "", ExitOK},
		"a role the job has not": {[]string{"--role", "Chief"}, "", ExitError},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := call(t, objects, logs, append([]string{"logs", "digits"}, tc.args...)...)
			if diff := cmp.Diff(tc.wantOut, got.out); diff != "" || got.code != tc.wantCode {
				t.Errorf("exit code %d, output (-want +got):\n%s", got.code, diff)
			}
		})
	}
}

func TestWaitEndsWithACodeScriptsCanRead(t *testing.T) {
	ended := func(status metav1.ConditionStatus) *v1alpha1.TrainingJob {
		return job(metav1.Condition{Type: v1alpha1.ConditionSucceeded, Status: status, Message: "Pod digits-worker-0 failed."})
	}
	cases := map[string]struct {
		objects  []client.Object
		args     []string
		wantCode int
		wantErr  string
	}{
		"a job that has succeeded":        {[]client.Object{ended("True")}, nil, ExitOK, ""},
		"a job that has failed":           {[]client.Object{ended("False")}, nil, ExitFailed, "Pod digits-worker-0 failed."},
		"a failed job that was to finish": {[]client.Object{ended("False")}, []string{"--for", "finished"}, ExitOK, ""},
		"a refusal that may pass": {
			[]client.Object{job(metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: "False", Message: "The webhook is away."})},
			[]string{"--timeout", "10ms"},
			ExitTimeout, "The webhook is away.",
		},
		"a job that cannot go on": {
			[]client.Object{job(
				metav1.Condition{Type: v1alpha1.ConditionAccepted, Status: "False"},
				metav1.Condition{Type: v1alpha1.ConditionStalled, Status: "True", Message: "Rename the job."},
			)}, nil, ExitFailed, "digits cannot go on: Rename the job.",
		},
		"a stall of the spec before this one": {[]client.Object{outdated()}, []string{"--timeout", "10ms"}, ExitTimeout, "within 10ms"},
		"no such job":                         {nil, nil, ExitNotFound, "there is no trainingjob"},
		"a job that takes too long":           {[]client.Object{job()}, []string{"--timeout", "10ms"}, ExitTimeout, "within 10ms"},
		"something that cannot be awaited":    {[]client.Object{job()}, []string{"--for", "luck"}, ExitError, "must be one of succeeded, running, finished"},
		"an argument that is not understood":  {nil, []string{"--no-such-flag"}, ExitError, "unknown flag"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := call(t, tc.objects, nil, append([]string{"wait", "digits"}, tc.args...)...)
			if got.code != tc.wantCode || !strings.Contains(got.err, tc.wantErr) {
				t.Errorf("got exit code %d and %q, want %d and %q", got.code, got.err, tc.wantCode, tc.wantErr)
			}
		})
	}
}

// outdated is a job that was corrected after it could not go on.
func outdated() *v1alpha1.TrainingJob {
	j := job(metav1.Condition{Type: v1alpha1.ConditionStalled, Status: "True", Message: "Rename the job."})
	j.Generation, j.Status.ObservedGeneration = 2, 1
	return j
}

func TestTopSaysWhatItCannotKnow(t *testing.T) {
	got := call(t, []client.Object{job(), pod("master", "0")}, nil, "top", "digits")
	if got.code != ExitOK || !strings.Contains(got.out, "digits-master-0") {
		t.Errorf("got %+v", got)
	}
}

func TestWrongUsageSaysWhatIsRight(t *testing.T) {
	cases := map[string]struct{ args, want string }{
		"no job":                  {"logs", "mill: name a job; \"mill get\" lists them\nSee \"mill logs --help\".\n"},
		"two jobs":                {"wait a b", "mill: unknown kind \"a\"; known: all, accelerator, experiment, notebook, poddefault, profile, suggestion, trainingjob, trial\nSee \"mill wait --help\".\n"},
		"two jobs at the top":     {"top a b", "mill: one job at a time, not a and b\nSee \"mill top --help\".\n"},
		"a file without -f":       {"plan job.yaml", "mill: files are named with -f: -f job.yaml\nSee \"mill plan --help\".\n"},
		"a command with a typo":   {"wiat", "mill: unknown command \"wiat\": did you mean wait?\nSee \"mill --help\".\n"},
		"a shell nobody uses":     {"completion tcsh", "mill: name a shell: bash, fish, powershell, zsh\nSee \"mill completion --help\".\n"},
		"an index below zero":     {"logs a --index -3", "mill: --index -3: indexes count from 0\nSee \"mill logs --help\".\n"},
		"a tail below zero":       {"logs a --tail -3", "mill: --tail -3: must be a number of lines, or -1 for all\nSee \"mill logs --help\".\n"},
		"a time that has not yet": {"logs a --since -1s", "mill: --since -1s: must not be negative\nSee \"mill logs --help\".\n"},
		"an end before the start": {"wait a --timeout -5s", "mill: --timeout -5s: must not be negative; 0 waits for ever\nSee \"mill wait --help\".\n"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := call(t, nil, nil, strings.Fields(tc.args)...)
			if diff := cmp.Diff(said{err: tc.want, code: ExitError}, got, cmp.AllowUnexported(said{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestJobsMayBeNamedWithTheirKind(t *testing.T) {
	for _, command := range []string{"get", "logs", "wait --for finished", "top"} {
		args := append(strings.Fields(command), "tj/digits")
		got := call(t, []client.Object{job(metav1.Condition{Type: v1alpha1.ConditionSucceeded, Status: "True"})}, nil, args...)
		if got.code != ExitOK {
			t.Errorf("mill %s: %+v", strings.Join(args, " "), got)
		}
	}
}

func TestProgramIsWhatItIsCalled(t *testing.T) {
	cases := map[string]struct {
		args     []string
		wantName string
		wantRest []string
	}{
		"by itself":                 {[]string{"/usr/bin/mill", "get"}, "mill", []string{"get"}},
		"as a plug-in of kubectl":   {[]string{"/usr/bin/kubectl-mill", "get"}, "kubectl mill", []string{"get"}},
		"for completions":           {[]string{"/usr/bin/kubectl_complete-mill", "get", "d"}, "kubectl mill", []string{"__complete", "get", "d"}},
		"for completions, Windows":  {[]string{"kubectl_complete-mill.exe", ""}, "kubectl mill", []string{"__complete", ""}},
		"for completions of itself": {[]string{"mill", "__complete", ""}, "mill", []string{"__complete", ""}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			name, rest := called(tc.args)
			if diff := cmp.Diff(tc.wantRest, rest); diff != "" || name != tc.wantName {
				t.Errorf("called %q, arguments (-want +got):\n%s", name, diff)
			}
		})
	}
}

func TestCompletionIsWhatKubectlReads(t *testing.T) {
	_, rest := called([]string{"kubectl_complete-mill", "logs", "di"})
	got := call(t, []client.Object{job()}, nil, rest...)
	if want := "digits\n:4\n"; got.out != want || got.code != ExitOK {
		t.Errorf("got %+v, want %q", got, want)
	}
}
