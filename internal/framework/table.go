// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// What users set instead of a variable of the contract.
const (
	byRoles   = "it is made from the roles"
	byRanks   = "it is counted over the roles"
	byElastic = "set spec.pytorch.elastic.rendezvous"
	byMPI     = "it is made from spec.mpi and the roles"
)

// rows is the table. Sources: the contracts of the operators that users come from, which are those of the frameworks: TF_CONFIG
// of TensorFlow, env:// and torchrun of PyTorch, OMPI_MCA_, I_MPI_ and HYDRA_ of the MPI implementations, DMLC_ of ps-lite.
var rows = []Row{
	{
		Framework: v1alpha1.PyTorch,
		Roles:     []string{"Master", "Worker"},
		Container: "pytorch", PortName: "pytorchjob-port", Port: 23456,
		Restart: v1alpha1.RestartOnFailure, Scope: v1alpha1.ScopeReplica,
		Success: []Rule{{[]string{"Master"}, all}, {[]string{"Worker"}, allOrAnyElastic}},
		Env: []Var{
			{"PYTHONUNBUFFERED", constant("1"), ""},
			{"MASTER_ADDR", given("Master", hostOf("Master")), "it is the host of the Master"},
			{"MASTER_PORT", given("Master", portOf("Master")), "name a containerPort of the Master pytorchjob-port"},
			{"PET_MASTER_ADDR", given("Master", hostOf("Master")), "it is the host of the Master"},
			{"PET_MASTER_PORT", given("Master", portOf("Master")), "name a containerPort of the Master pytorchjob-port"},
			{"WORLD_SIZE", given("Master", text(processes)), "set replicas of the roles and spec.pytorch.procPerNode"},
			{"RANK", given("Master", text(rank)), byRanks},
			{"PET_NODE_RANK", given("Master", text(rank)), byRanks},
			{"PET_NPROC_PER_NODE", text(procPerNode), "set spec.pytorch.procPerNode"},
			{"PET_NNODES", text(nodes), "set replicas of the roles or spec.pytorch.elastic"},
			{"PET_RDZV_ENDPOINT", elastic(rendezvousEndpoint), byElastic + ".endpoint"},
			{"PET_RDZV_BACKEND", elastic(rendezvousBackend), byElastic + ".backend"},
			{"PET_RDZV_ID", elastic(rendezvousID), byElastic + ".id"},
			{"PET_RDZV_CONF", elastic(rendezvousConfig), byElastic + ".config"},
			{"PET_MAX_RESTARTS", elastic(maxRestarts), "set spec.pytorch.elastic.maxRestarts"},
		},
	},
	{
		Framework: v1alpha1.TensorFlow,
		Roles:     []string{"Chief", "Master", "Worker", "PS", "Evaluator"},
		Container: "tensorflow", PortName: "tfjob-port", Port: 2222,
		Restart: v1alpha1.RestartNever, Scope: v1alpha1.ScopeReplica,
		Success: []Rule{{[]string{"Chief", "Master"}, all}, {[]string{"Worker"}, firstOrAll}},
		Spared:  sparseWorker, MainOnly: true,
		Env: []Var{{"TF_CONFIG", distributed(tfConfig), byRoles}},
	},
	{
		Framework: v1alpha1.MPI,
		Roles:     []string{"Launcher", "Worker"},
		Restart:   v1alpha1.RestartOnFailure, Scope: v1alpha1.ScopeReplica,
		Success: []Rule{{[]string{"Launcher"}, all}}, MainOnly: true,
		Remote: &Remote{Launcher: "Launcher", Hosts: mpiHosts, Waits: launcherWaits},
		Env: []Var{
			{"K_MPI_JOB_ROLE", text(role), byRoles},
			{"OMPI_MCA_orte_keep_fqdn_hostnames", launcher(mpi("OpenMPI", constant("true"))), byMPI},
			{"OMPI_MCA_orte_default_hostfile", launcher(mpi("OpenMPI", constant(hostfilePath))), byMPI},
			{"OMPI_MCA_plm_rsh_args", launcher(mpi("OpenMPI", constant(sshRetries))), ""},
			{"OMPI_MCA_orte_set_default_slots", launcher(mpi("OpenMPI", mpiSlots)), "set spec.mpi.slotsPerWorker"},
			{"I_MPI_HYDRA_HOST_FILE", launcher(mpi("Intel", constant(hostfilePath))), byMPI},
			{"I_MPI_HYDRA_BOOTSTRAP_EXEC_EXTRA_ARGS", launcher(mpi("Intel", constant(sshRetries))), ""},
			{"I_MPI_PERHOST", launcher(mpi("Intel", mpiSlots)), "set spec.mpi.slotsPerWorker"},
			{"HYDRA_HOST_FILE", launcher(mpi("MPICH", constant(hostfilePath))), byMPI},
			{"HYDRA_LAUNCH_EXTRA_ARGS", launcher(mpi("MPICH", constant(sshRetries))), ""},
			// A launcher that only coordinates must not see the GPUs of its node: images set these variables to all.
			{"NVIDIA_VISIBLE_DEVICES", launcher(coordinator(constant(""))), ""},
			{"NVIDIA_DRIVER_CAPABILITIES", launcher(coordinator(constant(""))), ""},
		},
	},
	{
		Framework: v1alpha1.MXNet,
		Roles:     []string{"Scheduler", "Server", "Worker", "TunerTracker", "TunerServer", "Tuner"},
		Container: "mxnet", PortName: "mxjob-port", Port: 9091,
		Restart: v1alpha1.RestartNever, Scope: v1alpha1.ScopeJob,
		Success: []Rule{{[]string{"Tuner"}, all}, {[]string{"Scheduler", "Worker"}, all}},
		Env: []Var{
			{"MX_CONFIG", text(mxConfig), byRoles},
			{"DMLC_PS_ROOT_PORT", orElse("0", given("Scheduler", portOf("Scheduler"))), "name a containerPort of the Scheduler mxjob-port"},
			{"DMLC_PS_ROOT_URI", orElse("", given("Scheduler", hostOf("Scheduler"))), "it is the host of the Scheduler"},
			{"DMLC_NUM_SERVER", number("Server"), "set replicas of the Server"},
			{"DMLC_NUM_WORKER", number("Worker"), "set replicas of the Worker"},
			{"DMLC_ROLE", text(role), byRoles},
			{"DMLC_USE_KUBERNETES", constant("1"), byRoles},
			{"DMLC_WORKER_ID", only("Worker", text(index)), byRanks},
		},
	},
	{
		Framework: v1alpha1.Chainer,
		Roles:     []string{"Master"},
		Container: "chainer",
		Restart:   v1alpha1.RestartOnFailure, Scope: v1alpha1.ScopeReplica,
		Success: []Rule{{[]string{"Master"}, all}},
		Remote:  &Remote{Launcher: "Master", Hosts: chainerHosts, Distributed: true, Waits: always},
		Env: []Var{
			{"OMPI_MCA_orte_keep_fqdn_hostnames", distributed(constant("t")), byRoles},
			{"OMPI_MCA_orte_default_hostfile", distributed(constant(hostfilePath)), byRoles},
			{"OMPI_MCA_plm_rsh_args", distributed(constant(sshRetries)), ""},
			{"OMPI_MCA_btl_tcp_if_exclude", distributed(constant("lo,docker0")), ""},
		},
	},
	{
		Framework: v1alpha1.JAX,
		Roles:     []string{"Worker"},
		Container: "jax", PortName: "jaxjob-port", Port: 6666,
		Restart: v1alpha1.RestartNever, Scope: v1alpha1.ScopeJob,
		Success: []Rule{{[]string{"Worker"}, all}},
		Env: []Var{
			{"PYTHONUNBUFFERED", constant("1"), ""},
			{"COORDINATOR_ADDRESS", hostOf("Worker"), "it is the host of worker 0"},
			{"COORDINATOR_PORT", portOf("Worker"), "name a containerPort jaxjob-port"},
			{"NUM_PROCESSES", text(size), "set replicas of the Worker"},
			{"PROCESS_ID", text(rank), byRanks},
		},
	},
	{
		Framework: v1alpha1.XGBoost,
		Roles:     []string{"Master", "Worker"},
		Container: "xgboost", PortName: "xgboostjob-port", Port: 9999,
		Restart: v1alpha1.RestartNever, Scope: v1alpha1.ScopeJob,
		Success: []Rule{{[]string{"Master"}, all}},
		Env: []Var{
			{"PYTHONUNBUFFERED", constant("1"), ""},
			{"MASTER_ADDR", hostOf("Master"), "it is the host of the Master"},
			{"MASTER_PORT", portOf("Master"), "name a containerPort of the Master xgboostjob-port"},
			{"WORLD_SIZE", text(size), "set replicas of the roles"},
			{"RANK", text(rank), byRanks},
			{"WORKER_ADDRS", given("Worker", hostsOf("Worker")), "they are the hosts of the Workers"},
			{"WORKER_PORT", given("Worker", portOf("Worker")), "name a containerPort of the Worker xgboostjob-port"},
		},
	},
}
