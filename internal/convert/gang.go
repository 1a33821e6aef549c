// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"cmp"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/kueue"
)

// scheduling converts what an operator of Kubeflow tells a scheduler of gangs. The original makes gangs of all jobs or of none, by
// a flag of its own: a job that says how large its gang is, or how long it waits, is taken to be one.
func (c *conversion) scheduling(policy *fields) {
	if class := policy.text("priorityClass"); class != "" {
		c.schedule().PriorityClassName = class
	}
	if policy.has("minAvailable") || policy.has("scheduleTimeoutSeconds") || policy.has("minResources") {
		c.schedule().Gang = &v1alpha1.Gang{
			MinMember:      c.atMost(policy, "minAvailable", c.atStart(), "gang.minMember is %d, the number of pods that are made at the start"),
			TimeoutSeconds: timeout(c, policy),
		}
		c.oneScheduler(policy)
	}
	policy.lose("minResources", "schedulers add up what the pods ask for")
	policy.lose("queue", "scheduling.queue names a queue of Kueue, or with gang.scheduler Volcano or KAI one of that scheduler: set it if this is one")
}

// queue is the queue of Kueue that the original waits in by a label.
func (c *conversion) queue() {
	labels, _ := c.metadata["labels"].(map[string]any)
	name, _ := labels[kueue.QueueLabel].(string)
	switch {
	case len(validation.IsDNS1123Label(name)) == 0:
		c.schedule().Queue = name
	case c.job.Spec.ManagedBy == kueue.MultiKueue:
		c.job.Spec.ManagedBy = ""
		c.note("metadata.labels", "MultiKueue sends no job without a queue: set managedBy %s together with scheduling.queue", kueue.MultiKueue)
	}
}

// oneScheduler gives every template the scheduler that some of them name: one scheduler places a gang.
func (c *conversion) oneScheduler(policy *fields) {
	named, without := "", false
	for i := range c.parts {
		spec, _ := c.parts[i].template["spec"].(map[string]any)
		name, _ := spec["schedulerName"].(string)
		without = without || name == ""
		if name != "" && named != "" && name != named {
			return // the job says which field to mend
		}
		named = cmp.Or(named, name)
	}
	if named == "" || !without {
		return
	}
	for i := range c.parts {
		if spec, known := c.parts[i].template["spec"].(map[string]any); known {
			spec["schedulerName"] = named
		}
	}
	c.note(policy.path, "one scheduler places a gang: schedulerName %s of one template is that of all", named)
}

// podGroup converts what a runtime of Kubeflow Trainer tells a scheduler of gangs, which it names.
func (c *conversion) podGroup(policy *fields) {
	for _, place := range []struct {
		key string
		by  v1alpha1.GangScheduler
	}{{"coscheduling", v1alpha1.GangCoscheduling}, {"volcano", v1alpha1.GangVolcano}} {
		of := policy.object(place.key)
		if !of.given {
			continue
		}
		c.schedule().Gang = &v1alpha1.Gang{Scheduler: place.by, TimeoutSeconds: timeout(c, of)}
		of.lose("networkTopology", "set scheduling.topology to a label of the nodes")
	}
}

func timeout(c *conversion, policy *fields) *int32 {
	const day = 86400
	return c.atMost(policy, "scheduleTimeoutSeconds", day, "gang.timeoutSeconds is %d, which is the most there is")
}

func (c *conversion) schedule() *v1alpha1.Scheduling {
	if c.job.Spec.Scheduling == nil {
		c.job.Spec.Scheduling = &v1alpha1.Scheduling{}
	}
	return c.job.Spec.Scheduling
}

// atMost takes a number from 1 to a bound; one that says nothing, such as 0, is left out.
func (c *conversion) atMost(policy *fields, key string, most int32, why string) *int32 {
	n := policy.number(key)
	switch {
	case n == nil || *n < 1 || most < 1:
		return nil
	case *n > most:
		c.note(policy.at(key), why, most)
		return &most
	}
	return n
}

// atStart is the number of pods that are made at the start. The original counts a launcher that waits for its workers too.
func (c *conversion) atStart() int32 {
	job := c.typed()
	for i := range c.parts {
		job.Spec.Roles[i].Replicas = c.parts[i].Replicas
	}
	layout, known := framework.Resolve(job)
	if !known {
		return 0
	}
	total := int32(0)
	for i := range layout.Roles {
		if !layout.WaitsForOthers(&layout.Roles[i]) {
			total += int32(layout.Roles[i].Count)
		}
	}
	return total
}
