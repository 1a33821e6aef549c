// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"reflect"
	"slices"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// inlined are the fields of a run policy that older versions have in the spec itself.
var inlined = []string{
	"activeDeadlineSeconds", "backoffLimit", "cleanPodPolicy", "managedBy", "schedulingPolicy", "suspend", "ttlSecondsAfterFinished",
}

// ourManagers run what Millrace runs now.
var ourManagers = []string{"kubeflow.org/training-operator", "kubeflow.org/mpi-operator", "trainer.kubeflow.org/trainjob-controller"}

var cleanPods = map[string]string{
	"All": string(v1alpha1.CleanAll), "Running": string(v1alpha1.CleanRunning), "None": string(v1alpha1.CleanNone),
}

// policyOf converts the run policy. It comes last: what restarts mean depends on the roles.
func policyOf(c *conversion, spec *fields) {
	policy := spec.object("runPolicy")
	if policy.given {
		outweigh(policy, spec)
		c.policy(policy)
		return
	}
	c.policy(spec)
}

// outweigh moves what the spec says itself into the run policy, which wins.
func outweigh(policy, spec *fields) {
	for _, key := range inlined {
		value := spec.take(key)
		if value == nil {
			continue
		}
		if !policy.has(key) {
			policy.left[key] = value
			continue
		}
		if !reflect.DeepEqual(policy.left[key], value) {
			spec.lost(spec.at(key), "%s has another value, and wins", policy.at(key))
		}
	}
}

func (c *conversion) policy(policy *fields) {
	run := &c.job.Spec.RunPolicy
	run.CleanPods = v1alpha1.CleanPods(policy.word("cleanPodPolicy", cleanPods))
	if run.CleanPods == "" && c.row.clean != v1alpha1.CleanRunning {
		run.CleanPods = c.row.clean
	}
	if ttl := policy.number("ttlSecondsAfterFinished"); ttl != nil {
		run.TTLSecondsAfterFinished = ttl
	}
	run.ActiveDeadlineSeconds = policy.number("activeDeadlineSeconds")
	if policy.flag("suspend") {
		run.Suspend = new(true)
	}
	if manager := policy.text("managedBy"); !slices.Contains(ourManagers, manager) {
		c.job.Spec.ManagedBy = manager
	}
	c.restarts(policy.at("backoffLimit"), policy.number("backoffLimit"))
	c.scheduling(policy.object("schedulingPolicy"))
}

// restarts is the restart budget: the job's own, or what the original does without one.
func (c *conversion) restarts(path string, limit *int32) {
	c.retriedJob(path, limit)
	restarted := slices.ContainsFunc(c.parts, func(p part) bool { return c.effective(p) != v1alpha1.RestartNever })
	if restarted && c.row.together {
		c.note(path, "a replica that fails restarts the whole job, which its processes need to find each other again; the original restarts that replica")
	}
	if limit != nil && *limit == 0 && c.part(c.row.spared) != nil {
		c.once(path)
		return
	}
	if limit != nil {
		if *limit > mostRestarts {
			c.lost(path, "restarts.max is %d, which is the most there is", mostRestarts)
		}
		c.job.Spec.RunPolicy.Restarts.Max = new(min(*limit, mostRestarts))
		return
	}
	if restarted {
		c.job.Spec.RunPolicy.Restarts.Max = new(c.row.retries.max)
		c.note(c.row.limit, "no limit of restarts is set; restarts.max is %d, %s", c.row.retries.max, c.row.retries.why)
	}
}

// retriedJob is about the role that the original runs as a batch/v1 Job: that makes new pods until its backoffLimit is
// reached even where the pods' own policy is Never.
func (c *conversion) retriedJob(path string, limit *int32) {
	p, most := c.part(c.row.batch), c.row.retries.max
	if limit != nil {
		most = *limit
	}
	if p == nil || c.effective(*p) != v1alpha1.RestartNever || most == 0 {
		return
	}
	p.RestartPolicy = v1alpha1.RestartOnFailure
	c.note(p.path, "Never is OnFailure: the original makes a new pod until %s is reached; set that to 0 if it should not", path)
}

// once is about a limit of 0 where it is one role's: that role is not restarted, and others still are.
func (c *conversion) once(path string) {
	p := c.part(c.row.batch)
	p.RestartPolicy = v1alpha1.RestartNever
	c.job.Spec.RunPolicy.Restarts.Max = new(endless.max)
	c.note(path, "the limit is the %s's, whose restartPolicy is Never; restarts.max is %d for the %ss, whose failures the original ignores",
		p.Name, endless.max, c.row.spared)
}
