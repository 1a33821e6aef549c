// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package framework knows the training frameworks. Each is a row of a table: its roles in rank order, its port, who
// decides success, and the environment its rendezvous reads as formulas from a closed vocabulary. A framework is added
// by adding a row; nothing else switches on its name.
package framework

import (
	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// Row is what there is to know about a framework.
type Row struct {
	// Framework is the row's key.
	Framework v1alpha1.Framework
	// Roles are the roles in rank order: the first replica of the first role that a job has is rank 0.
	Roles []string
	// Container is the name by which a template's main container is known, if it is not the first.
	Container string
	// PortName names the container port whose number replaces Port.
	PortName string
	// Port is the port the rendezvous listens on.
	Port int32
	// Restart is the restart policy of roles that name none.
	Restart v1alpha1.RestartPolicy
	// Success says who decides: the first rule whose role the job has.
	Success []Rule
	// Env is set in every container of every pod.
	Env []Var
}

// Rule decides success by the pods of a role.
type Rule struct {
	Role string
	Need Need
}

// Need is true when enough pods of a role have succeeded.
type Need func(j *v1alpha1.TrainingJob, succeeded, wanted int) bool

// Var is a variable of the rendezvous contract.
type Var struct {
	Name  string
	Value Formula
	// Instead is what a user sets instead of the variable. A variable with an empty Instead is a mere default: the
	// user's own value wins.
	Instead string
}

// Formula is the value of a variable for a pod; empty means that the pod does not get the variable.
type Formula func(Member) string

// rows is the table.
var rows = []Row{
	{
		Framework: v1alpha1.PyTorch,
		Roles:     []string{"Master", "Worker"},
		Container: "pytorch", PortName: "pytorchjob-port", Port: 23456,
		Restart: v1alpha1.RestartOnFailure,
		Success: []Rule{{"Master", all}, {"Worker", allOrAnyElastic}},
		Env: []Var{
			{"PYTHONUNBUFFERED", constant("1"), ""},
			{"MASTER_ADDR", withMaster(firstHost), "it is the host of the Master"},
			{"MASTER_PORT", withMaster(firstPort), "name a containerPort of the Master pytorchjob-port"},
			{"PET_MASTER_ADDR", withMaster(firstHost), "it is the host of the Master"},
			{"PET_MASTER_PORT", withMaster(firstPort), "name a containerPort of the Master pytorchjob-port"},
			{"WORLD_SIZE", withMaster(worldSize), "set replicas of the roles and spec.pytorch.procPerNode"},
			{"RANK", withMaster(rank), "it is counted over the roles"},
			{"PET_NODE_RANK", withMaster(rank), "it is counted over the roles"},
			{"PET_NPROC_PER_NODE", procPerNode, "set spec.pytorch.procPerNode"},
			{"PET_NNODES", nodes, "set replicas of the roles or spec.pytorch.elastic"},
			{"PET_RDZV_ENDPOINT", elastic(rendezvousEndpoint), "set spec.pytorch.elastic.rendezvous.endpoint"},
			{"PET_RDZV_BACKEND", elastic(rendezvousBackend), "set spec.pytorch.elastic.rendezvous.backend"},
			{"PET_RDZV_ID", elastic(rendezvousID), "set spec.pytorch.elastic.rendezvous.id"},
			{"PET_RDZV_CONF", elastic(rendezvousConfig), "set spec.pytorch.elastic.rendezvous.config"},
			{"PET_MAX_RESTARTS", elastic(maxRestarts), "set spec.pytorch.elastic.maxRestarts"},
		},
	},
}

// Find returns the row of a framework, and false when this version of Millrace has none.
func Find(f v1alpha1.Framework) (Row, bool) {
	for _, row := range rows {
		if row.Framework == f {
			return row, true
		}
	}
	return Row{}, false
}

func all(_ *v1alpha1.TrainingJob, succeeded, wanted int) bool { return succeeded >= wanted }

// allOrAnyElastic: the agents of an elastic job end together, and some may have been scaled away meanwhile.
func allOrAnyElastic(j *v1alpha1.TrainingJob, succeeded, wanted int) bool {
	if ElasticOf(j) != nil {
		return succeeded > 0
	}
	return all(j, succeeded, wanted)
}

// ElasticOf returns a job's elastic block, or nil.
func ElasticOf(j *v1alpha1.TrainingJob) *v1alpha1.Elastic {
	if j.Spec.PyTorch == nil {
		return nil
	}
	return j.Spec.PyTorch.Elastic
}

// Instead is what a user sets instead of a variable of the contract.
func (r Row) Instead(name string) string {
	for _, v := range r.Env {
		if v.Name == name {
			return v.Instead
		}
	}
	return ""
}
