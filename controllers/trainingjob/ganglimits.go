// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/framework"
)

// The objections to a gang are about the job alone; what its scheduler cannot do is found out in a cluster (refuses).

// oversizedGang: a minimum that the job's pods can never reach.
func oversizedGang(job *v1alpha1.TrainingJob) (objection, bool) {
	g := gangSpec(job)
	if g == nil {
		return objection{}, false
	}
	layout, _ := framework.Resolve(job)
	if n := atStart(layout, most); g.MinMember != nil && *g.MinMember > n {
		return invalid("spec.scheduling.gang.minMember: %d pods are needed together and the job has %d%s: set at most %d.", *g.MinMember, n, besideLauncher(layout), n)
	}
	for i, r := range g.Roles {
		path := fmt.Sprintf("spec.scheduling.gang.roles[%d]", i)
		role := layout.Find(r.Name)
		switch {
		case role == nil:
			return invalid("%s.name: the job has no role %s: correct or remove it.", path, r.Name)
		case layout.WaitsForOthers(role):
			return invalid("%s.name: the %s is made when its workers are ready, and cannot be placed together with them: remove it, or set spec.mpi.launcherCreation to AtStartup.", path, r.Name)
		case r.MinMember > most(layout, role):
			return invalid("%s.minMember: %d pods are needed and role %s has %d: set at most %d.", path, r.MinMember, r.Name, most(layout, role), most(layout, role))
		}
	}
	return objection{}, false
}

// dividedGang: one scheduler places a gang.
func dividedGang(job *v1alpha1.TrainingJob) (objection, bool) {
	if gangSpec(job) == nil {
		return objection{}, false
	}
	first := job.Spec.Roles[0].Template.Spec.SchedulerName
	for i := range job.Spec.Roles {
		if other := job.Spec.Roles[i].Template.Spec.SchedulerName; other != first {
			return invalid("spec.roles[%d].template.spec.schedulerName: %q differs from %q of the first role, and one scheduler places a gang: name the same one, or none, in every template.", i, other, first)
		}
	}
	return objection{}, false
}

// besideLauncher tells of a launcher that does not count.
func besideLauncher(l *framework.Layout) string {
	for i := range l.Roles {
		if l.WaitsForOthers(&l.Roles[i]) {
			return " without the " + l.Roles[i].Name + ", which is made when the others are ready"
		}
	}
	return ""
}

func gangSpec(job *v1alpha1.TrainingJob) *v1alpha1.Gang {
	if job.Spec.Scheduling == nil {
		return nil
	}
	return job.Spec.Scheduling.Gang
}

func invalid(format string, args ...any) (objection, bool) {
	return objection{v1alpha1.ReasonInvalidSpec, fmt.Sprintf(format, args...)}, true
}

// refuses says why a job cannot be run in the cluster as it is: by itself, or by what places its gang.
func refuses(job *v1alpha1.TrainingJob, w World) (objection, bool) {
	if o, raised := accept(job); raised {
		return o, true
	}
	layout, _ := framework.Resolve(job)
	g, asked := gangOf(layout)
	if !asked || len(w.Pods) > 0 || dispatched(job) {
		return objection{}, false
	}
	message, refused := placer(job, g, w).Refuses(g)
	return objection{v1alpha1.ReasonGangUnsupported, message}, refused
}
