// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package compat

import (
	"fmt"
	"maps"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// contract says what an operator gives to the pods of a job.
type contract struct {
	// container is the one that an operator names where it has no name.
	container string
	// pods are all pods of the job.
	pods func(o original) []member
	// files are what the launcher finds, by name.
	files func(o original) map[string]string
}

// contracts are those of training.md, section 1.
var contracts = map[string]contract{
	"PyTorchJob kubeflow.org/v1":       {container: "pytorch", pods: pytorchPods},
	"TFJob kubeflow.org/v1":            {container: "tensorflow", pods: tensorflowPods},
	"MXJob kubeflow.org/v1":            {container: "mxnet", pods: mxnetPods},
	"MXJob kubeflow.org/v1beta1":       {container: "mxnet", pods: mxnetPods},
	"XGBoostJob kubeflow.org/v1":       {container: "xgboost", pods: xgboostPods},
	"JAXJob kubeflow.org/v1":           {container: "jax", pods: jaxPods},
	"MPIJob kubeflow.org/v1":           {container: "mpi", pods: execPods, files: execFiles},
	"MPIJob kubeflow.org/v2beta1":      {container: "mpi", pods: sshPods, files: sshFiles},
	"ChainerJob kubeflow.org/v1alpha1": {container: "chainer", pods: chainerPods, files: chainerFiles},
}

// env is an environment by name.
type env map[string]string

// member is a pod of an original: its name, its template, and what the operator adds to the environment of the containers
// that it chooses.
type member struct {
	name string
	*replicaSpec
	adds env
	// only is the container that gets adds: "" for all of them, first for the first.
	only string
}

const first = "<first>"

// expectation is what the pods of a job must have.
type expectation struct {
	Job string `json:"job"`
	// Pods are the environments of containers, by pod and container.
	Pods map[string]map[string]env `json:"pods"`
	// Files are those of the launcher by name, in lines.
	Files map[string][]string `json:"files,omitempty"`
}

// expected is what the operator gives to the pods of a job. A variable of the user's that it sets as well is the
// operator's: it comes last in the list, and the kubelet takes the last.
func expected(o original, c contract, differences []difference) expectation {
	want := expectation{Job: o.Kind + " " + o.Name, Pods: map[string]map[string]env{}}
	hosts := hostsOf(o, c)
	for _, m := range c.pods(o) {
		containers := map[string]env{}
		for i, container := range m.Template.Spec.Containers {
			if container.Name == "" {
				container.Name = c.container
			}
			all := envOf(container)
			if m.only == "" || m.only == container.Name || m.only == first && i == 0 {
				maps.Copy(all, m.adds)
				differ(differences, o, hosts.pod(m.name), all)
			}
			containers[container.Name] = hosts.in(all)
		}
		want.Pods[hosts.pod(m.name)] = containers
	}
	if c.files == nil {
		return want
	}
	for name, text := range c.files(o) {
		if want.Files == nil {
			want.Files = map[string][]string{}
		}
		want.Files[name] = hosts.lines(text)
	}
	return want
}

func differ(differences []difference, o original, pod string, all env) {
	for _, d := range differences {
		if d.in(o) {
			d.change(o, pod, all)
		}
	}
}

func envOf(c corev1.Container) env {
	all := env{}
	for _, e := range c.Env {
		all[e.Name] = e.Value
		if e.ValueFrom != nil {
			all[e.Name] = fmt.Sprintf("from %v", e.ValueFrom)
		}
	}
	return all
}

// hosts brings the hosts of a job to one form, which is the name of the pod in Millrace.
type hosts struct {
	job string
	// names is any name of a pod of the job, with the domain behind it.
	names *regexp.Regexp
}

func hostsOf(o original, c contract) hosts {
	// A name that begins with another comes before it.
	var names []string
	for _, m := range c.pods(o) {
		names = append(names, regexp.QuoteMeta((&hosts{job: o.Name}).pod(m.name)), regexp.QuoteMeta(m.name))
	}
	return hosts{o.Name, regexp.MustCompile(`\b(` + strings.Join(names, "|") + `)\b(\.[a-z0-9.-]*[a-z0-9])?`)}
}

// pod is the name of a pod in Millrace: a launcher has an index, and a worker set is a role.
func (h *hosts) pod(name string) string {
	if name == h.job+"-launcher" || name == h.job+"-master" {
		return name + "-0"
	}
	return strings.Replace(name, h.job+"-workerset-", h.job+"-", 1)
}

func (h *hosts) text(s string) string {
	return h.names.ReplaceAllStringFunc(s, func(found string) string {
		name, _, _ := strings.Cut(found, ".")
		return h.pod(name)
	})
}

func (h *hosts) in(all env) env {
	for name, value := range all {
		all[name] = h.text(value)
	}
	return all
}

// lines are the lines of a file that say something.
func (h *hosts) lines(text string) []string {
	var found []string
	for line := range strings.Lines(h.text(text)) {
		if line = strings.TrimSpace(line); line != "" {
			found = append(found, line)
		}
	}
	return found
}
