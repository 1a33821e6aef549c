// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"slices"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// jobSet is the template of a runtime. What it says about its jobs as such is read when their numbers of pods are known.
type jobSet struct {
	*fields
	// owner is the name of the TrainJob.
	owner string
	jobs  []replicatedJob
}

// replicatedJob is one of its jobs: pods that are nodes or launchers.
type replicatedJob struct {
	part
	name string
	// job is the replicated job, and spec that of its batch/v1 Job.
	job, spec *fields
}

// jobSet reads the template of a runtime.
func (c *conversion) jobSet(runtime *fields) jobSet {
	set := jobSet{fields: runtime.object("template").object("spec"), owner: c.name()}
	set.drop("suspend") // the TrainJob's outweighs it
	if ttl := set.number("ttlSecondsAfterFinished"); ttl != nil {
		c.job.Spec.RunPolicy.TTLSecondsAfterFinished = ttl
		c.note(set.at("ttlSecondsAfterFinished"), "is the job's, which is deleted with its pods; the original deletes the pods and keeps the TrainJob")
	}
	for _, job := range set.objects("replicatedJobs") {
		name := job.text("name")
		if name != "node" && name != "launcher" {
			job.drop("dependsOn", "groupName", "replicas", "template")
			c.lost(job.path, "the job %s runs before or beside the training; run it as a Job of its own", name)
			continue
		}
		set.jobs = append(set.jobs, c.replicatedJob(name, job))
	}
	return set
}

// replicatedJob reads the pods of a job.
func (c *conversion) replicatedJob(name string, job *fields) replicatedJob {
	template := job.object("template")
	unlabelled(template.object("metadata"))
	spec := template.object("spec")
	p := part{path: spec.path}
	if limit := spec.number("backoffLimit"); limit != nil {
		if said := c.row.retries; said.why == asRuntime && said.max != *limit {
			c.lost(spec.at("backoffLimit"), "%d is for all roles, and outweighs the %d of the other job", *limit, said.max)
		}
		c.row.retries = retries{*limit, asRuntime}
	}
	if pod, ok := spec.left["template"].(map[string]any); ok {
		podSpec, _ := pod["spec"].(map[string]any)
		policy, _ := podSpec["restartPolicy"].(string)
		if policy == string(v1alpha1.RestartNever) && c.row.retries.max == 0 {
			p.RestartPolicy = v1alpha1.RestartNever
		}
		delete(podSpec, "restartPolicy")
	}
	p.template = c.template(spec, &p)
	first(podOf(&p), nodeContainer)
	return replicatedJob{part: p, name: name, job: job, spec: spec}
}

const asRuntime = "as the runtime says"

// unlabelled remarks on what a runtime says of the batch/v1 Jobs themselves, but for the label that tells their parts in a
// TrainJob, which their names tell as well.
func unlabelled(meta *fields) {
	meta.drop(served...)
	for _, key := range []string{"labels", "annotations"} {
		content := meta.object(key)
		content.drop("trainer.kubeflow.org/trainjob-ancestor-step")
		for _, name := range keys(content.left) {
			content.lose(name, "there is no batch/v1 Job; put it into the metadata of the job, or of the templates for the pods")
		}
	}
}

func (s jobSet) find(name string) (part, bool) {
	i := slices.IndexFunc(s.jobs, func(j replicatedJob) bool { return j.name == name })
	if i < 0 {
		return part{}, false
	}
	return s.jobs[i].part, true
}

// settle remarks on what the set says that the job does not do, by the job whose end is the whole one's and the numbers of
// pods. What says the same as the job does is passed over.
func (s jobSet) settle(deciding string, pods map[string]int32) {
	s.success(deciding, pods)
	s.startup(pods)
	s.hosts()
	for _, j := range s.jobs {
		if count, known := pods[j.name]; !known || count == 0 {
			j.unused(known)
			continue
		}
		j.numbers(pods[j.name])
		j.order(pods)
	}
}

// unused remarks on a job without pods.
func (j replicatedJob) unused(known bool) {
	j.job.drop("dependsOn", "groupName", "replicas")
	j.spec.drop("completionMode", "completions", "parallelism", "podReplacementPolicy")
	if known {
		j.job.lost(j.job.path, "numNodes is 1 and the Launcher is that node, so there is no Worker; the original makes one beside it, and mpirun finds 2 hosts there")
		return
	}
	j.job.lost(j.job.path, "the framework has no %s", j.name)
}

// success is about who decides: the Launcher, or the Master, which is the only one where there is one node.
func (s jobSet) success(deciding string, pods map[string]int32) {
	policy := s.object("successPolicy")
	if !policy.given {
		return
	}
	operator := policy.word("operator", map[string]string{"All": "All", "Any": "Any"})
	targets := policy.list("targetReplicatedJobs")
	if len(targets) == 0 && operator != "Any" {
		for name := range pods {
			targets = append(targets, name)
		}
	}
	if operator != "Any" {
		// Others are not carried over, and said to be.
		targets = slices.DeleteFunc(targets, func(name any) bool { n, _ := name.(string); return pods[n] == 0 })
	}
	if len(targets) != 1 || targets[0] != deciding || pods[deciding] > 1 {
		s.lost(policy.path, "the job has succeeded when its Launcher has, or else its Master")
	}
}

// startup is about the order of the jobs. Without one the Launcher waits for ready Workers all the same.
func (s jobSet) startup(pods map[string]int32) {
	policy := s.object("startupPolicy")
	order := policy.word("startupPolicyOrder", map[string]string{"InOrder": "InOrder", "AnyOrder": "AnyOrder"})
	before := func(name string) int {
		return slices.IndexFunc(s.jobs, func(j replicatedJob) bool { return j.name == name && pods[name] > 0 })
	}
	if launcher, node := before("launcher"), before("node"); order == "InOrder" && launcher >= 0 && launcher < node {
		s.lost(policy.path, "the Launcher is made when the Workers are ready, and not before them")
	}
}

// hosts is about the names of pods.
func (s jobSet) hosts() {
	network := s.object("network")
	for key, ours := range map[string]string{
		"enableDNSHostnames":       "pods have names in DNS",
		"publishNotReadyAddresses": "the names of pods are published before they are ready",
	} {
		if network.has(key) && !network.flag(key) {
			network.lost(network.at(key), "%s", ours)
		}
	}
	if domain := network.text("subdomain"); domain != "" && domain != s.owner {
		network.lost(network.at("subdomain"), "pods are <pod>.<job>.<namespace>.svc")
	}
}

// numbers are those of pods, which numNodes decides, and how a batch/v1 Job counts and replaces them.
func (j replicatedJob) numbers(pods int32) {
	for _, key := range []string{"completions", "parallelism"} {
		if n := j.spec.number(key); n != nil && *n != pods {
			j.spec.lost(j.spec.at(key), "is %d; the pods are %d, by numNodes", *n, pods)
		}
	}
	if n := j.job.number("replicas"); n != nil && *n != 1 {
		j.job.lost(j.job.at("replicas"), "is %d, and numNodes alone is the number of pods", *n)
	}
	if group := j.job.text("groupName"); group != "" && group != "default" {
		j.job.lost(j.job.at("groupName"), "the roles are the only groups")
	}
	if mode := j.spec.text("completionMode"); mode != "" && mode != "Indexed" {
		j.spec.lost(j.spec.at("completionMode"), "every pod has an index and ends for itself")
	}
	// A pod has the name of the one it replaces, and so waits until that is gone.
	if policy := j.spec.text("podReplacementPolicy"); policy != "" && policy != "Failed" {
		j.spec.lost(j.spec.at("podReplacementPolicy"), "a pod that is being deleted is replaced when it is gone")
	}
}

// order is about what a job waits for. A Launcher waits for ready Workers anyway, and what does not run is said not to.
func (j replicatedJob) order(pods map[string]int32) {
	for _, on := range j.job.objects("dependsOn") {
		name, status := on.text("name"), on.text("status")
		if pods[name] == 0 || j.name == "launcher" && name == "node" && status == "Ready" {
			continue
		}
		on.lost(on.path, "the %s does not wait for the %s to be %s", j.name, name, status)
	}
}
