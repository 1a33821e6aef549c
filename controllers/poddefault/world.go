// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package poddefault

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/notebookpod"
	"github.com/millrace-ml/millrace/internal/poddefault"
)

// World is what a PodDefault is judged by.
type World struct {
	// Others are all PodDefaults of the namespace, this one among them.
	Others []v1alpha1.PodDefault
	// Jobs and Notebooks are those of the namespace.
	Jobs      []v1alpha1.TrainingJob
	Notebooks []v1alpha1.Notebook
	// Pods are those of the namespace that ask for PodDefaults and are not Millrace's.
	Pods []corev1.Pod
	// Served is true where the cluster serves mutating admission policies, Installed where ours and its binding are there.
	Served, Installed bool
}

// workload is one that makes pods.
type workload struct {
	kind, name string
	pods       []poddefault.Pod
}

// workloads are those that have not ended, by kind and name.
func (w World) workloads() []workload {
	var all []workload
	for i := range w.Jobs {
		if job := &w.Jobs[i]; job.Status.CompletionTime == nil && job.DeletionTimestamp == nil {
			all = append(all, workload{"TrainingJob", job.Name, podsOf(job)})
		}
	}
	for i := range w.Notebooks {
		if nb := &w.Notebooks[i]; nb.DeletionTimestamp == nil {
			all = append(all, workload{"Notebook", nb.Name, []poddefault.Pod{podOf(nb)}})
		}
	}
	return all
}

// podOf is the pod of a notebook, but for the devices of its Accelerator.
func podOf(nb *v1alpha1.Notebook) poddefault.Pod {
	t := notebookpod.Template(nb, nil)
	return poddefault.Pod{Pod: &corev1.Pod{ObjectMeta: t.ObjectMeta, Spec: t.Spec}, Reserved: []string{notebookpod.Prefix}}
}

// podsOf is the first pod of each role of a job, as far as its template tells.
func podsOf(job *v1alpha1.TrainingJob) []poddefault.Pod {
	layout, known := framework.Resolve(job)
	if !known {
		return nil
	}
	var all []poddefault.Pod
	for i := range layout.Roles {
		role := &layout.Roles[i]
		template := role.Template.DeepCopy()
		p := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
		p.Labels = maps.Clone(p.Labels)
		if p.Labels == nil {
			p.Labels = map[string]string{}
		}
		maps.Copy(p.Labels, map[string]string{
			names.ManagedBy: names.Manager, names.TrainingJob: job.Name, names.Role: names.Lower(role.Name), names.Index: "0",
		})
		all = append(all, poddefault.Pod{Pod: p, Main: role.Main, Reserved: layout.Reserved(framework.Member{Layout: layout, Role: role})})
	}
	return all
}

// meets says whether a workload's pods are a PodDefault's, and where they contradict it.
func (w World) meets(d *v1alpha1.PodDefault, of workload) (matched bool, conflict string) {
	for _, p := range of.pods {
		in := poddefault.Matching(w.Others, p.Labels)
		if !slices.ContainsFunc(in, func(other *v1alpha1.PodDefault) bool { return other.Name == d.Name }) {
			continue
		}
		matched = true
		if c, found := poddefault.Apply(p, in); found && c.Of == d.Name {
			return true, c.Say("template")
		}
	}
	return matched, ""
}
