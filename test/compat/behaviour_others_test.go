// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import "testing"

// others are what the other controllers' suites assert, and the rules of training.md, sections 1 and 2, that they do not.
var others = map[string]behaviour{
	"TFJob, successPolicy AllWorkers: worker 0 is not enough": {
		kind: "TFJob", roles: "Worker 2 Never", spec: "successPolicy: AllWorkers", happens: []string{"worker-0 0"},
		wantPhase: "Running", wantLeft: "worker-0 worker-1",
	},
	"TFJob, successPolicy AllWorkers: all workers are": {
		kind: "TFJob", roles: "Worker 2 Never", spec: "successPolicy: AllWorkers", happens: []string{"worker-0 0", "worker-1 0"},
		wantPhase: "Succeeded", wantLeft: "worker-0 worker-1",
	},
	"TFJob, enableDynamicWorker: a failed worker does not fail the job": {
		kind: "TFJob", roles: "PS 1 Never, Worker 2 Never", spec: "enableDynamicWorker: true", happens: []string{"worker-1 1"},
		wantPhase: "Running", wantLeft: "ps-0 worker-0 worker-1",
	},
	"PyTorchJob: the master decides": {
		kind: "PyTorchJob", roles: "Master, Worker 2", happens: []string{"worker-0 0", "master-0 0"},
		wantPhase: "Succeeded", wantLeft: "master-0 worker-0 worker-1",
	},
	"PyTorchJob: all workers decide without a master": {
		kind: "PyTorchJob", roles: "Worker 2", happens: []string{"worker-0 0"}, wantPhase: "Running", wantLeft: "worker-0 worker-1",
	},
	"PyTorchJob: any worker of an elastic job decides": {
		kind: "PyTorchJob", roles: "Worker 2", spec: "elasticPolicy: {minReplicas: 1, maxReplicas: 3}", happens: []string{"worker-1 0"},
		wantPhase: "Succeeded", wantLeft: "worker-0 worker-1",
	},
	"PyTorchJob: OnFailure is the default": {
		kind: "PyTorchJob", roles: "Master, Worker 1", happens: []string{"worker-0 1", "worker-0 1"},
		wantPhase: "Running", wantRestarted: "worker-0", wantLeft: "master-0 worker-0",
	},
	"PyTorchJob, Never: a failed worker fails the job": {
		kind: "PyTorchJob", roles: "Master 1 Never, Worker 1 Never", happens: []string{"worker-0 1"},
		wantPhase: "Failed", wantLeft: "master-0 worker-0",
	},
	"PyTorchJob, Never: an evicted pod is replaced (the original fails; here nobody pays for what the program did not do)": {
		kind: "PyTorchJob", roles: "Master 1 Never, Worker 1 Never", happens: []string{"worker-0 evicted"},
		wantPhase: "Running", wantRestarted: "worker-0", wantLeft: "master-0 worker-0",
	},
	"PyTorchJob: a pod that was deleted is made anew": {
		kind: "PyTorchJob", roles: "Master, Worker 1", happens: []string{"worker-0 deleted"},
		wantPhase: "Running", wantRestarted: "worker-0", wantLeft: "master-0 worker-0",
	},
	"PyTorchJob, backoffLimit: one restart more than that fails the job": {
		kind: "PyTorchJob", roles: "Master, Worker 1", spec: "runPolicy: {backoffLimit: 1, cleanPodPolicy: Running}",
		happens: []string{"worker-0 1", "worker-0 1"}, wantPhase: "Failed", wantRestarted: "worker-0", wantLeft: "",
	},
	"PyTorchJob, backoffLimit: it is each replica's own (the original adds up those whose pods run)": {
		kind: "PyTorchJob", roles: "Master, Worker 2", spec: "runPolicy: {backoffLimit: 1}",
		happens: []string{"worker-0 1", "worker-1 1"}, wantPhase: "Running", wantRestarted: "worker-0 worker-1", wantLeft: "master-0 worker-0 worker-1",
	},
	"PyTorchJob, activeDeadlineSeconds: the deadline is kept (the original looks when something else happens)": {
		kind: "PyTorchJob", roles: "Master", spec: "runPolicy: {activeDeadlineSeconds: 600, cleanPodPolicy: Running}",
		happens: []string{"an hour"}, wantPhase: "Failed", wantLeft: "",
	},
	"PyTorchJob, suspend: no pods": {
		kind: "PyTorchJob", roles: "Master, Worker 2", spec: "runPolicy: {suspend: true}", wantPhase: "Suspended", wantLeft: "",
	},
	"MXJob: the scheduler decides": {
		kind: "MXJob", roles: "Scheduler, Server 2, Worker 2", happens: []string{"scheduler-0 0"},
		wantPhase: "Succeeded", wantLeft: "scheduler-0 server-0 server-1 worker-0 worker-1",
	},
	"MXJob: all workers decide too (in the original only since nobody else does)": {
		kind: "MXJob", roles: "Scheduler, Server 1, Worker 2", happens: []string{"worker-0 0", "worker-1 0"},
		wantPhase: "Succeeded", wantLeft: "scheduler-0 server-0 worker-0 worker-1",
	},
	"MXJob, MXTune: the tuner decides (in the original nobody does, and the job never ends)": {
		kind: "MXJob", roles: "TunerTracker, TunerServer, Tuner", spec: "jobMode: MXTune", happens: []string{"tuner-0 0"},
		wantPhase: "Succeeded", wantLeft: "tuner-0 tunerserver-0 tunertracker-0",
	},
	"MXJob: any failure fails the job": {
		kind: "MXJob", roles: "Scheduler, Server 1, Worker 1", happens: []string{"server-0 1"},
		wantPhase: "Failed", wantLeft: "scheduler-0 server-0 worker-0",
	},
	"MXJob, ExitCode: a retryable failure restarts the whole job (the original restarts the replica)": {
		kind: "MXJob", roles: "Scheduler 1 ExitCode, Server 1 ExitCode, Worker 1 ExitCode", happens: []string{"worker-0 137"},
		wantPhase: "Running", wantRestarted: "scheduler-0 server-0 worker-0", wantLeft: "scheduler-0 server-0 worker-0",
	},
	"XGBoostJob: the master decides": {
		kind: "XGBoostJob", roles: "Master, Worker 2", happens: []string{"master-0 0"},
		wantPhase: "Succeeded", wantLeft: "master-0 worker-0 worker-1",
	},
	"JAXJob: all workers decide": {
		kind: "JAXJob", roles: "Worker 2", happens: []string{"worker-0 0", "worker-1 0"}, wantPhase: "Succeeded", wantLeft: "worker-0 worker-1",
	},
	"MPIJob: the launcher decides": {
		kind: "MPIJob", roles: "Launcher, Worker 2", spec: "runPolicy: {cleanPodPolicy: Running}", happens: []string{"launcher-0 0"},
		wantPhase: "Succeeded", wantLeft: "launcher-0",
	},
	"MPIJob: a failed launcher fails the job": {
		kind: "MPIJob", roles: "Launcher, Worker 1", happens: []string{"launcher-0 1"}, wantPhase: "Failed", wantLeft: "launcher-0 worker-0",
	},
	"MPIJob: a failed worker fails the job": {
		kind: "MPIJob", roles: "Launcher, Worker 2", happens: []string{"worker-1 1"}, wantPhase: "Failed", wantLeft: "launcher-0 worker-0 worker-1",
	},
	"MPIJob: an evicted worker is replaced (the original fails)": {
		kind: "MPIJob", roles: "Launcher, Worker 2", happens: []string{"worker-1 evicted"},
		wantPhase: "Running", wantRestarted: "worker-1", wantLeft: "launcher-0 worker-0 worker-1",
	},
	"MPIJob v2beta1: the launcher decides": {
		kind: "MPIJob v2beta1", roles: "Launcher, Worker 2", spec: "runPolicy: {cleanPodPolicy: Running}", happens: []string{"launcher-0 0"},
		wantPhase: "Succeeded", wantLeft: "launcher-0",
	},
	"MPIJob v2beta1: a launcher that fails is restarted": {
		kind: "MPIJob v2beta1", roles: "Launcher, Worker 1", happens: []string{"launcher-0 1", "launcher-0 0"},
		wantPhase: "Succeeded", wantRestarted: "launcher-0", wantLeft: "launcher-0 worker-0",
	},
	"MPIJob v2beta1, backoffLimit 0: a failed launcher ends the job": {
		kind: "MPIJob v2beta1", roles: "Launcher, Worker 1", spec: "runPolicy: {backoffLimit: 0}", happens: []string{"launcher-0 1"},
		wantPhase: "Failed", wantLeft: "launcher-0 worker-0",
	},
	"MPIJob v2beta1: a worker that fails does not fail the job, and is replaced (the original leaves it)": {
		kind: "MPIJob v2beta1", roles: "Launcher, Worker 2", spec: "runPolicy: {backoffLimit: 0}", happens: []string{"worker-0 1", "worker-0 1"},
		wantPhase: "Running", wantRestarted: "worker-0", wantLeft: "launcher-0 worker-0 worker-1",
	},
}

func TestOtherSuites(t *testing.T) { replay(t, others) }

func TestTimeToLive(t *testing.T) {
	l := begin(t, manifest("TFJob", "Worker 1 Never", "runPolicy: {ttlSecondsAfterFinished: 60}"))
	if l.happen("worker-0 0"); l.expired {
		t.Error("the job was deleted at its end")
	}
	if l.happen("an hour"); !l.expired {
		t.Error("the job is still there an hour later")
	}
}
