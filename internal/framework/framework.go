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
	// Roles are the roles in rank order: the first replica of the first role that a job has is rank 0. Roles that are not
	// listed follow as the job lists them.
	Roles []string
	// Container is the name by which a template's main container is known, if it is not the first.
	Container string
	// PortName names the container port whose number replaces Port. Empty when pods need not listen.
	PortName string
	// Port is the port the rendezvous listens on.
	Port int32
	// Restart is the restart policy of roles that name none.
	Restart v1alpha1.RestartPolicy
	// Scope is what restarts together when the job does not say: the whole job where a process cannot join a training that runs.
	Scope v1alpha1.RestartScope
	// Success says who decides: the first rule with a role that the job has.
	Success []Rule
	// Spared is true for roles whose failures do not fail the job. Optional.
	Spared func(j *v1alpha1.TrainingJob, role string) bool
	// MainOnly is true when only main containers get Env; otherwise every container does.
	MainOnly bool
	// Env is the rendezvous contract.
	Env []Var
	// Remote is set where one pod starts the processes on the others.
	Remote *Remote
}

// Rule decides success by the pods of roles: enough of the pods of one of them.
type Rule struct {
	Roles []string
	Need  Need
}

// Need is true when enough pods of a role have succeeded; done tells it of each, by index.
type Need func(j *v1alpha1.TrainingJob, done []bool) bool

// Var is a variable of the rendezvous contract.
type Var struct {
	Name  string
	Value Formula
	// Instead is what a user sets instead of the variable. A variable with an empty Instead is a mere default: the
	// user's own value wins.
	Instead string
}

// Formula is the value of a variable for a pod; nil means that the pod does not get the variable.
type Formula func(Member) *string

// Find returns the row of a framework, and false when this version of Millrace has none.
func Find(f v1alpha1.Framework) (Row, bool) {
	for _, row := range rows {
		if row.Framework == f {
			return row, true
		}
	}
	return Row{}, false
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

// all: every pod of the role.
func all(_ *v1alpha1.TrainingJob, done []bool) bool { return count(done) == len(done) }

// allOrAnyElastic: the agents of an elastic job end together, and some may have been scaled away meanwhile.
func allOrAnyElastic(j *v1alpha1.TrainingJob, done []bool) bool {
	if ElasticOf(j) != nil {
		return count(done) > 0
	}
	return all(j, done)
}

// firstOrAll: worker 0 stands in for a chief unless the job waits for all workers.
func firstOrAll(j *v1alpha1.TrainingJob, done []bool) bool {
	if tf := j.Spec.TensorFlow; tf != nil && tf.SuccessPolicy == "AllWorkers" {
		return all(j, done)
	}
	return len(done) > 0 && done[0] || all(j, done)
}

func count(done []bool) int {
	n := 0
	for _, d := range done {
		if d {
			n++
		}
	}
	return n
}
