// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"maps"
	"slices"
	"testing"
)

// behaviour is a case of a behaviour suite: a job, what happens to its pods, and what becomes of them.
type behaviour struct {
	kind, roles, spec string
	// happens are such as "ps-0 1": the program in the first PS exits with code 1.
	happens []string
	// wantPhase is the end, or what the job does afterwards.
	wantPhase string
	// wantRestarted are the pods that were restarted, in place or by a new pod.
	wantRestarted string
	// wantLeft are the pods there are at the end.
	wantLeft string
}

// suite are the suites of tf-operator 1.2: simple_tfjob, distributed_training, gpu, shutdown_policy, cleanpod_policy,
// replica_restart_policy, estimator_runconfig (its cluster is TestContracts') and pod_names_validation. Its test server ends a
// pod when it is asked to, as happens does here.
var suite = map[string]behaviour{
	"simple: one worker ends well": {
		kind: "TFJob", roles: "Worker 1 Never", happens: []string{"worker-0 0"},
		wantPhase: "Succeeded", wantLeft: "worker-0",
	},
	"distributed training: worker 0 ends well while others run": {
		kind: "TFJob", roles: "PS 2 Never, Worker 4 Never", happens: []string{"worker-0 0"},
		wantPhase: "Succeeded", wantLeft: "ps-0 ps-1 worker-0 worker-1 worker-2 worker-3",
	},
	"distributed training: another worker than 0 ends well": {
		kind: "TFJob", roles: "PS 2 Never, Worker 4 Never", happens: []string{"worker-3 0"},
		wantPhase: "Running", wantLeft: "ps-0 ps-1 worker-0 worker-1 worker-2 worker-3",
	},
	"shutdown policy: the master is the chief": {
		kind: "TFJob", roles: "Chief 1 Never, PS 2 Never, Worker 2 Never", happens: []string{"chief-0 0"},
		wantPhase: "Succeeded", wantLeft: "chief-0 ps-0 ps-1 worker-0 worker-1",
	},
	"shutdown policy: workers are no chief where there is one": {
		kind: "TFJob", roles: "Chief 1 Never, PS 2 Never, Worker 2 Never", happens: []string{"worker-0 0", "worker-1 0"},
		wantPhase: "Running", wantLeft: "chief-0 ps-0 ps-1 worker-0 worker-1",
	},
	"shutdown policy: worker 0 is the chief": {
		kind: "TFJob", roles: "PS 2 Never, Worker 2 Never", happens: []string{"worker-0 0"},
		wantPhase: "Succeeded", wantLeft: "ps-0 ps-1 worker-0 worker-1",
	},
	"clean-pod policy All": {
		kind: "TFJob", roles: "Chief 1 Never, PS 2 Never, Worker 2 Never", spec: "runPolicy: {cleanPodPolicy: All}",
		happens: []string{"worker-0 0", "worker-1 0", "chief-0 0"}, wantPhase: "Succeeded", wantLeft: "",
	},
	"clean-pod policy Running": {
		kind: "TFJob", roles: "Chief 1 Never, PS 2 Never, Worker 2 Never", spec: "runPolicy: {cleanPodPolicy: Running}",
		happens: []string{"worker-0 0", "worker-1 0", "chief-0 0"}, wantPhase: "Succeeded", wantLeft: "chief-0 worker-0 worker-1",
	},
	"clean-pod policy None": {
		kind: "TFJob", roles: "Chief 1 Never, PS 2 Never, Worker 2 Never", spec: "runPolicy: {cleanPodPolicy: None}",
		happens: []string{"worker-0 0", "worker-1 0", "chief-0 0"}, wantPhase: "Succeeded", wantLeft: "chief-0 ps-0 ps-1 worker-0 worker-1",
	},
	"clean-pod policy Running after a failure": {
		kind: "TFJob", roles: "Chief 1 Never, PS 2 Never", spec: "runPolicy: {cleanPodPolicy: Running}",
		happens: []string{"chief-0 1"}, wantPhase: "Failed", wantLeft: "chief-0",
	},
	"restart policy Always, exit code 0: not restarted (the original does; here a program that has done its work is left alone)": {
		kind: "TFJob", roles: "PS 2 Always, Worker 2 Never", happens: []string{"ps-0 0"},
		wantPhase: "Running", wantLeft: "ps-0 ps-1 worker-0 worker-1",
	},
	"restart policy Always, exit code 1": {
		kind: "TFJob", roles: "PS 2 Always, Worker 2 Never", happens: []string{"ps-0 1"},
		wantPhase: "Running", wantRestarted: "ps-0", wantLeft: "ps-0 ps-1 worker-0 worker-1",
	},
	"restart policy OnFailure, exit code 0": {
		kind: "TFJob", roles: "PS 2 OnFailure, Worker 2 Never", happens: []string{"ps-0 0"},
		wantPhase: "Running", wantLeft: "ps-0 ps-1 worker-0 worker-1",
	},
	"restart policy OnFailure, exit code 1": {
		kind: "TFJob", roles: "PS 2 OnFailure, Worker 2 Never", happens: []string{"ps-0 1"},
		wantPhase: "Running", wantRestarted: "ps-0", wantLeft: "ps-0 ps-1 worker-0 worker-1",
	},
	"restart policy Never, exit code 0": {
		kind: "TFJob", roles: "PS 2 Never, Worker 2 Never", happens: []string{"ps-0 0"},
		wantPhase: "Running", wantLeft: "ps-0 ps-1 worker-0 worker-1",
	},
	"restart policy Never, exit code 1": {
		kind: "TFJob", roles: "PS 2 Never, Worker 2 Never", happens: []string{"ps-0 1"},
		wantPhase: "Failed", wantLeft: "ps-0 ps-1 worker-0 worker-1",
	},
	"restart policy ExitCode, permanent exit code 1": {
		kind: "TFJob", roles: "PS 2 ExitCode, Worker 2 Never", happens: []string{"ps-0 1"},
		wantPhase: "Failed", wantLeft: "ps-0 ps-1 worker-0 worker-1",
	},
	"restart policy ExitCode, retryable exit code 130": {
		kind: "TFJob", roles: "PS 2 ExitCode, Worker 2 Never", happens: []string{"ps-0 130"},
		wantPhase: "Running", wantRestarted: "ps-0", wantLeft: "ps-0 ps-1 worker-0 worker-1",
	},
	"restart policy ExitCode, highest permanent exit code 127": {
		kind: "TFJob", roles: "Worker 2 ExitCode", happens: []string{"worker-1 127"},
		wantPhase: "Failed", wantLeft: "worker-0 worker-1",
	},
	"restart policy ExitCode, exit codes of SIGKILL and SIGTERM": {
		kind: "TFJob", roles: "Worker 2 ExitCode", happens: []string{"worker-1 137", "worker-1 143"},
		wantPhase: "Running", wantRestarted: "worker-1", wantLeft: "worker-0 worker-1",
	},
	"estimator run config: the evaluator does not decide, the chief does": {
		kind: "TFJob", roles: "Chief 1 Never, PS 2 Never, Worker 2 Never, Evaluator 1 Never", happens: []string{"evaluator-0 0", "chief-0 0"},
		wantPhase: "Succeeded", wantLeft: "chief-0 evaluator-0 ps-0 ps-1 worker-0 worker-1",
	},
	"estimator run config: a failed evaluator fails the job": {
		kind: "TFJob", roles: "Chief 1 Never, Evaluator 1 Never", happens: []string{"evaluator-0 1"},
		wantPhase: "Failed", wantLeft: "chief-0 evaluator-0",
	},
	"pod names are <job>-<replica type>-<index>": {
		kind: "TFJob", roles: "Chief, PS 1, Worker 2, Evaluator", wantPhase: "Running", wantLeft: "chief-0 evaluator-0 ps-0 worker-0 worker-1",
	},
}

func TestTensorFlowSuite(t *testing.T) { replay(t, suite) }

func replay(t *testing.T, cases map[string]behaviour) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			l := begin(t, manifest(c.kind, c.roles, c.spec))
			for _, what := range c.happens {
				l.happen(what)
			}
			if got := l.job.Status.Phase; got != c.wantPhase {
				t.Errorf("the job is %s, want %s: %v", got, c.wantPhase, l.job.Status.Conditions)
			}
			if got := l.short(slices.Collect(maps.Keys(l.restarted))); got != c.wantRestarted {
				t.Errorf("restarted are %q, want %q", got, c.wantRestarted)
			}
			if got := l.short(slices.Collect(maps.Keys(l.pods))); got != c.wantLeft {
				t.Errorf("there are left %q, want %q", got, c.wantLeft)
			}
		})
	}
}
