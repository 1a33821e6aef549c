// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// idle are the words of a command that only keeps a pod alive, as the originals need that start processes with
// kubectl exec.
var idle = regexp.MustCompile(`^((/bin/)?(ba)?sh|-c|-f|-l|while|true|do|done|sleep|wait|trap|exec|tail|infinity|/dev/null|:|[0-9]+[smhd]?)$`)

func idles(container map[string]any) bool {
	found := strings.FieldsFunc(words(container), func(r rune) bool { return strings.ContainsRune(" \t\r\n;&\"'", r) })
	for _, word := range found {
		if !idle.MatchString(word) {
			return false
		}
	}
	return len(found) > 0
}

// remote says what changes for jobs whose processes were started through the API server. A worker that only idled must
// run an ssh server, which is what one without a command does.
func (c *conversion) remote(launcher string) {
	c.note("kind", "the original starts processes with kubectl exec, a TrainingJob with ssh: "+
		"the image needs an ssh server for the workers and an ssh client for the %s", launcher)
	for i := range c.parts {
		p := &c.parts[i]
		container := c.main(p)
		if p.Name == launcher || words(container) == "" {
			continue
		}
		path := p.path + ".template"
		if idles(container) {
			delete(container, "command")
			delete(container, "args")
			c.note(path, "the command only kept the pod alive for kubectl exec; without one the worker runs /usr/sbin/sshd")
			continue
		}
		c.note(path, "the command must start an ssh server, such as /usr/sbin/sshd -De, or be left out")
	}
}

// oneTemplate converts the MPIJob of v1alpha1, whose launcher and workers share a template.
func oneTemplate(c *conversion, spec *fields) {
	var count int32 = 1
	if n := spec.number("replicas"); n != nil {
		count = *n
	}
	for _, key := range []string{"gpus", "gpusPerNode", "processingUnits", "processingUnitsPerNode", "processingResourceType", "launcherOnMaster"} {
		spec.lose(key, "set replicas, and the devices of a pod in resources of the template")
	}
	p := part{Role: v1alpha1.Role{Name: "Launcher"}, path: "spec"}
	p.template = c.template(spec, &p)
	if c.fault != nil {
		return
	}
	worker := part{Role: v1alpha1.Role{Name: "Worker"}, path: "spec", template: copyOf(p.template)}
	for _, key := range []string{"command", "args"} {
		delete(c.main(&worker), key)
	}
	if c.main(&p)["resources"] != nil {
		delete(c.main(&p), "resources")
		c.note("spec.template", "the resources are the workers'; the launcher has none")
	}
	p.RestartPolicy, worker.RestartPolicy = v1alpha1.RestartNever, v1alpha1.RestartNever
	c.add(p, 1)
	c.add(worker, max(1, count))
}

// chainer converts a ChainerJob: a master, and worker sets of which each is a role.
func chainer(c *conversion, spec *fields) {
	master := spec.object("master")
	if !master.given {
		c.fail(master.path, "Required value")
		return
	}
	spec.word("backend", map[string]string{"mpi": "mpi"})
	if n := master.number("replicas"); n != nil && *n != 1 {
		c.lost(master.at("replicas"), "there is one Master")
	}
	c.group(master, "Master", 1)
	sets := spec.object("workerSets")
	for _, name := range keys(sets.left) {
		set := sets.object(name)
		count := c.replicas(set, name)
		if count == 0 {
			set.drop("mpiConfig", "template")
			c.lost(set.path, "a role has at least one replica, and this one has none")
			continue
		}
		c.group(set, c.groupName(set.path, name), count)
	}
	if c.fault != nil {
		return
	}
	if len(c.parts) > 1 {
		c.remote("Master")
	}
	c.policy(master)
}

// groupName is a worker set's own name, unless that is the master's.
func (c *conversion) groupName(path, name string) string {
	if !strings.EqualFold(name, "Master") {
		return name
	}
	c.note(path, "the role is called Workers: Master is taken")
	return "Workers"
}

// group converts the master or a worker set.
func (c *conversion) group(spec *fields, name string, count int32) {
	p := part{Role: v1alpha1.Role{Name: name}, path: spec.path}
	if name == "Master" {
		p.RestartPolicy = c.ownPolicy(spec)
	}
	p.template = c.template(spec, &p)
	config := spec.object("mpiConfig")
	if slots := config.number("slots"); slots != nil {
		if c.job.Spec.Chainer == nil {
			c.job.Spec.Chainer = &v1alpha1.ChainerSpec{}
		}
		c.job.Spec.Chainer.Groups = append(c.job.Spec.Chainer.Groups, v1alpha1.ChainerGroup{Name: name, SlotsPerWorker: *slots})
	}
	c.add(p, count)
}

// ownPolicy is the restart policy that stands in the template, which is where a batch/v1 Job has it; Never by default.
func (c *conversion) ownPolicy(role *fields) v1alpha1.RestartPolicy {
	template, _ := role.left["template"].(map[string]any)
	spec, _ := template["spec"].(map[string]any)
	policy, _ := spec["restartPolicy"].(string)
	if policy == "" {
		return v1alpha1.RestartNever
	}
	return c.restartable(fmt.Sprintf("%s.template.spec.restartPolicy", role.path), policy, "Master")
}
