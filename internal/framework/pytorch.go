// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// The contract of PyTorch is that of torch.distributed's env:// method (MASTER_ADDR, MASTER_PORT, WORLD_SIZE, RANK) and of
// torchrun, which reads its options from PET_ variables.

// processes is the number of processes: pods times processes per pod, where that is a number.
func processes(m Member) string {
	procs, err := strconv.Atoi(procPerNode(m))
	if err != nil {
		procs = 1
	}
	return strconv.Itoa(m.Size() * procs)
}

func procPerNode(m Member) string {
	if m.Job.Spec.PyTorch == nil || m.Job.Spec.PyTorch.ProcPerNode == nil {
		return "auto"
	}
	procs := m.Job.Spec.PyTorch.ProcPerNode
	if procs.Type == intstr.Int {
		return strconv.Itoa(int(procs.IntVal))
	}
	return procs.StrVal
}

// nodes is the number of pods, or its bounds in an elastic job.
func nodes(m Member) string {
	e := ElasticOf(m.Job)
	if e == nil {
		return size(m)
	}
	low, high := Bounds(e)
	return fmt.Sprintf("%d:%d", low, high)
}

// ElasticOf returns a job's elastic block, or nil.
func ElasticOf(j *v1alpha1.TrainingJob) *v1alpha1.Elastic {
	if j.Spec.PyTorch == nil {
		return nil
	}
	return j.Spec.PyTorch.Elastic
}

// Bounds are the least and the largest number of workers of an elastic job.
func Bounds(e *v1alpha1.Elastic) (low, high int32) {
	low, high = e.Replicas, e.Replicas
	if e.MinReplicas != nil {
		low = *e.MinReplicas
	}
	if e.MaxReplicas != nil {
		high = *e.MaxReplicas
	}
	return low, high
}

// elastic is a formula on the elastic block, in jobs that have one; empty means not set.
func elastic(f func(Member, *v1alpha1.Elastic) string) Formula {
	return func(m Member) *string {
		e := ElasticOf(m.Job)
		if e == nil {
			return nil
		}
		if value := f(m, e); value != "" {
			return &value
		}
		return nil
	}
}

// rendezvousEndpoint is where the agents meet. The worker there must find out that the store is its own to host, which it
// does by comparing the endpoint with its host name. Its host behind the Service never equals that before PyTorch 2, every
// worker would wait for the store, and the job for ever: so that worker is told its name alone.
func rendezvousEndpoint(m Member, e *v1alpha1.Elastic) string {
	if e.Rendezvous != nil && e.Rendezvous.Endpoint != "" {
		return e.Rendezvous.Endpoint
	}
	worker := m.Find("Worker")
	host := m.Host(worker, 0)
	if hostsStore(m, e) && !onHostNetwork(m) {
		host = m.Name()
	}
	return host + ":" + strconv.Itoa(int(worker.Port))
}

func rendezvousBackend(_ Member, e *v1alpha1.Elastic) string {
	if e.Rendezvous == nil || e.Rendezvous.Backend == "" {
		return "c10d"
	}
	return e.Rendezvous.Backend
}

func rendezvousID(_ Member, e *v1alpha1.Elastic) string {
	if e.Rendezvous == nil {
		return ""
	}
	return e.Rendezvous.ID
}

// rendezvousConfig is the user's. On the host's network the host name is the node's, so that the worker that hosts the store
// has to be told.
func rendezvousConfig(m Member, e *v1alpha1.Elastic) string {
	var pairs []string
	if e.Rendezvous != nil {
		for _, s := range e.Rendezvous.Config {
			pairs = append(pairs, s.Name+"="+s.Value)
		}
	}
	if hostsStore(m, e) && onHostNetwork(m) {
		pairs = append(pairs, "is_host=true")
	}
	return strings.Join(pairs, ",")
}

// hostsStore is true for the worker the endpoint names, unless the user said where the store is or who hosts it.
func hostsStore(m Member, e *v1alpha1.Elastic) bool {
	if m.Role.Name != "Worker" || m.Index > 0 || rendezvousBackend(m, e) != "c10d" {
		return false
	}
	return e.Rendezvous == nil || e.Rendezvous.Endpoint == "" &&
		!slices.ContainsFunc(e.Rendezvous.Config, func(s v1alpha1.Setting) bool { return s.Name == "is_host" })
}

func onHostNetwork(m Member) bool { return m.Role.Template.Spec.HostNetwork }

func maxRestarts(_ Member, e *v1alpha1.Elastic) string {
	if e.MaxRestarts == nil {
		return ""
	}
	return strconv.Itoa(int(*e.MaxRestarts))
}
