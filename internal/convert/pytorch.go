// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// pytorch converts what only a PyTorchJob has.
func pytorch(c *conversion, spec *fields) {
	var block v1alpha1.PyTorchSpec
	block.ProcPerNode = procs(spec, "nprocPerNode")
	policy := spec.object("elasticPolicy")
	if policy.given {
		if old := procs(policy, "nProcPerNode"); block.ProcPerNode == nil {
			block.ProcPerNode = old
		}
		c.elastic(&block, policy)
	}
	if block != (v1alpha1.PyTorchSpec{}) {
		c.job.Spec.PyTorch = &block
	}
}

// procs is a number of processes, which the original has as a number or as a word.
func procs(f *fields, key string) *intstr.IntOrString {
	if word, ok := f.left[key].(string); ok {
		f.drop(key)
		if n, err := strconv.ParseInt(word, 10, 32); err == nil {
			return new(intstr.FromInt32(int32(n)))
		}
		return new(intstr.FromString(word))
	}
	n := f.number(key)
	if n == nil {
		return nil
	}
	return new(intstr.FromInt32(*n))
}

// elastic moves the number of workers to where it can be scaled, and says the bounds that the original leaves open.
func (c *conversion) elastic(block *v1alpha1.PyTorchSpec, policy *fields) {
	worker := c.part("Worker")
	if worker == nil {
		c.fail(policy.path, "an elastic job needs a role Worker with replicas")
		return
	}
	size := int32(1)
	if worker.Replicas != nil {
		size = *worker.Replicas
	}
	worker.Replicas = nil
	low, high := c.bounds(policy, size)
	block.Elastic = &v1alpha1.Elastic{
		Replicas: c.within(worker.path+".replicas", size, low, high), MinReplicas: &low, MaxReplicas: &high,
		MaxRestarts: policy.number("maxRestarts"),
	}
	block.Elastic.Rendezvous = c.rendezvous(policy, worker)
	if policy.flag("standalone") {
		c.standalone(policy.at("standalone"))
	}
	c.autoscaler(policy, block.Elastic)
}

// standalone gives all containers the variable that the original puts over the user's, empty as it is there.
func (c *conversion) standalone(path string) {
	c.note(path, "is an empty %[1]s in all containers, as in the original; torchrun fails where %[1]s is no number: "+
		"set it to 1 in a job with one worker, or remove it", standalone)
	for i := range c.parts {
		for k, container := range containersOf(podOf(&c.parts[i])) {
			env, ok := container["env"].([]any)
			if !ok && container["env"] != nil {
				continue // the API server words what is of a wrong type better
			}
			if slices.ContainsFunc(env, called(standalone)) {
				c.note(fmt.Sprintf("%s.template.spec.containers[%d].env", c.parts[i].path, k), "%s is empty: %s is true, and wins", standalone, path)
			}
			container["env"] = append(slices.DeleteFunc(env, called(standalone)), map[string]any{"name": standalone, "value": ""})
		}
	}
}

const standalone = "PET_STANDALONE"

// bounds are the least and the largest number of workers. The original makes one that is left out equal to the other, and
// both the number of workers. Here one that is left out lets the workers be: the job would wait for ever for those that are
// missing, or leave out those that are too many.
func (c *conversion) bounds(policy *fields, size int32) (low, high int32) {
	least, most := policy.number("minReplicas"), policy.number("maxReplicas")
	switch {
	case least != nil && most != nil:
		return *least, *most
	case least != nil:
		return *least, c.bound(policy, "maxReplicas", "minReplicas", *least, max(*least, size))
	case most != nil:
		return c.bound(policy, "minReplicas", "maxReplicas", *most, min(size, *most)), *most
	}
	return size, size
}

// bound is the bound that is left out, and remarks where it is not the original's.
func (c *conversion) bound(policy *fields, unset, other string, theirs, ours int32) int32 {
	if ours != theirs {
		c.note(policy.at(unset), "is not set; the original makes it %d, as %s, which does not let the workers be, so it is %d", theirs, other, ours)
	}
	return ours
}

// within is the number of workers, put between the bounds.
func (c *conversion) within(path string, size, low, high int32) int32 {
	fitting := min(max(size, low), max(low, high))
	if fitting != size {
		c.lost(path, "%d workers are not between the elastic bounds %d and %d: elastic.replicas is %d", size, low, high, fitting)
	}
	return fitting
}

var backends = map[string]string{"c10d": "c10d", "etcd": "etcd", "etcd-v2": "etcd-v2"}

// rendezvous says how the agents find each other, where the job does not leave that to its operator.
func (c *conversion) rendezvous(policy *fields, worker *part) *v1alpha1.Rendezvous {
	found := v1alpha1.Rendezvous{Backend: policy.word("rdzvBackend", backends), ID: policy.text("rdzvId")}
	host, number := policy.text("rdzvHost"), policy.number("rdzvPort")
	pod, ours := c.ownPod(host)
	if ours {
		host = pod + "." + c.name()
	}
	switch {
	case host != "" && pod != c.name()+"-worker-0":
		found.Endpoint = host + ":" + strconv.Itoa(int(c.workerPort(worker, number)))
	case number != nil:
		c.listen(worker, *number, policy.at("rdzvPort"))
	}
	for _, setting := range policy.objects("rdzvConf") {
		found.Config = append(found.Config, v1alpha1.Setting{Name: setting.text("key"), Value: setting.text("value")})
	}
	if found.Backend == "c10d" {
		found.Backend = "" // the default
	}
	if found.Backend == "" && found.Endpoint == "" && found.ID == "" && found.Config == nil {
		return nil
	}
	return &found
}

// ownPod is the pod of the job that a host names, as the original has it: the pod's name, with or without its domain.
func (c *conversion) ownPod(host string) (string, bool) {
	pod, _, _ := strings.Cut(host, ".")
	for _, p := range c.parts {
		index, ours := strings.CutPrefix(pod, c.name()+"-"+names.Lower(p.Name)+"-")
		if _, err := strconv.Atoi(index); ours && err == nil && c.name() != "" {
			return pod, true
		}
	}
	return "", false
}

const (
	torchPortName = "pytorchjob-port"
	torchPort     = 23456
)

// workerPort is the port of the rendezvous: its own, or that of the first worker.
func (c *conversion) workerPort(worker *part, own *int32) int32 {
	if own != nil {
		return *own
	}
	ports, _ := c.main(worker)["ports"].([]any)
	for _, item := range ports {
		p, _ := item.(map[string]any)
		if n, ok := whole(p["containerPort"]); ok && p["name"] == torchPortName {
			return int32(min(max(n, 0), math.MaxUint16))
		}
	}
	return torchPort
}

// listen makes the first worker, which hosts the rendezvous, do so on a port.
func (c *conversion) listen(worker *part, number int32, path string) {
	main := c.main(worker)
	port(main, torchPortName, int64(number))
	if c.workerPort(worker, nil) != number {
		c.lost(path, "the Worker's containerPort %s says otherwise, and wins", torchPortName)
	}
}

// autoscaler is the one the original makes for a job with metrics.
func (c *conversion) autoscaler(policy *fields, e *v1alpha1.Elastic) {
	metrics := policy.list("metrics")
	if len(metrics) == 0 {
		return
	}
	if c.metadata["name"] == nil {
		c.lost(policy.at("metrics"), "a HorizontalPodAutoscaler needs the name of its job, and this one has generateName")
		return
	}
	c.note(policy.at("metrics"), "are those of the HorizontalPodAutoscaler below")
	meta := map[string]any{"name": c.name()}
	if namespace, ok := c.metadata["namespace"]; ok {
		meta["namespace"] = namespace
	}
	c.more = append(c.more, map[string]any{
		"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": meta,
		"spec": map[string]any{
			"scaleTargetRef": map[string]any{"apiVersion": c.job.APIVersion, "kind": c.job.Kind, "name": c.name()},
			"minReplicas":    int64(*e.MinReplicas), "maxReplicas": int64(*e.MaxReplicas), "metrics": metrics,
		},
	})
}
