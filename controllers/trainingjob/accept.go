// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"
	"strings"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/podspec"
)

// objection is why a spec cannot be run.
type objection struct{ reason, message string }

// objections are asked in order; the first that is raised is the answer.
var objections = []func(*v1alpha1.TrainingJob) (objection, bool){
	unknownFramework,
	nobodyDecides,
	missingEndpoint,
	reservedEnv,
	oversizedGang,
	dividedGang,
	lonelyPods,
	lostCheckpoints,
	lostSignals,
}

// accept says why a job cannot be run, if so.
func accept(job *v1alpha1.TrainingJob) (objection, bool) {
	for _, ask := range objections {
		if o, raised := ask(job); raised {
			return o, true
		}
	}
	return objection{}, false
}

func unknownFramework(job *v1alpha1.TrainingJob) (objection, bool) {
	_, known := framework.Find(job.Spec.Framework)
	return objection{
		v1alpha1.ReasonFrameworkNotYetSupported,
		fmt.Sprintf("spec.framework: %s is not supported by this version of Millrace.", job.Spec.Framework),
	}, !known
}

// nobodyDecides: a job of parameter servers alone would run for ever.
func nobodyDecides(job *v1alpha1.TrainingJob) (objection, bool) {
	layout, _ := framework.Resolve(job)
	if deciders, _ := layout.Deciders(); len(deciders) > 0 {
		return objection{}, false
	}
	var roles []string
	for _, rule := range layout.Row.Success {
		roles = append(roles, rule.Roles...)
	}
	return objection{
		v1alpha1.ReasonInvalidSpec,
		fmt.Sprintf("spec.roles: no role decides whether the job has succeeded: add one of %s.", strings.Join(roles, ", ")),
	}, true
}

func missingEndpoint(job *v1alpha1.TrainingJob) (objection, bool) {
	e := framework.ElasticOf(job)
	if e == nil || e.Rendezvous == nil || e.Rendezvous.Endpoint != "" || e.Rendezvous.Backend == "" || e.Rendezvous.Backend == "c10d" {
		return objection{}, false
	}
	return objection{
		v1alpha1.ReasonInvalidSpec,
		fmt.Sprintf("spec.pytorch.elastic.rendezvous.endpoint: backend %s needs the host:port of an etcd server.", e.Rendezvous.Backend),
	}, true
}

// reservedEnv finds a variable in a template that the rendezvous sets. Two values of MASTER_ADDR are one too many, and
// whichever won, the job would hang without a word.
func reservedEnv(job *v1alpha1.TrainingJob) (objection, bool) {
	layout, _ := framework.Resolve(job)
	for i, r := range job.Spec.Roles {
		role := layout.Find(r.Name)
		member := framework.Member{Layout: layout, Role: role}
		clash, found := podspec.Clashes(&job.Spec.Roles[i].Template.Spec, reach(member), layout.Reserved(member))
		if !found {
			continue
		}
		return objection{
			v1alpha1.ReasonReservedEnv,
			fmt.Sprintf("spec.roles[%d].template.spec.%s: %s is set by the job for the rendezvous: remove it; %s.",
				i, clash.Field, clash.Name, layout.Row.Instead(clash.Name)),
		}, true
	}
	return objection{}, false
}
