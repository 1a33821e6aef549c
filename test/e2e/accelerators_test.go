// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// tally is what there is of an accelerator.
type tally struct{ Nodes, Capacity, Allocatable, InUse, Free int32 }

// told is what mill says of an accelerator.
func told(ctx context.Context, name string) func() tally {
	return func() tally {
		GinkgoHelper()
		said := run(ctx, "MILL", "accelerators", "-o", "json")
		Expect(said.code).To(BeZero(), said.err)
		var all v1alpha1.AcceleratorList
		Expect(json.Unmarshal([]byte(said.out), &all)).To(Succeed(), said.out)
		for _, a := range all.Items {
			if s := a.Status; a.Name == name && s.Nodes != nil {
				return tally{*s.Nodes, *s.Capacity, *s.Allocatable, *s.InUse, *s.Free}
			}
		}
		return tally{}
	}
}

// counted is the same by hand, from nodes and pods.
func counted(ctx context.Context, resource corev1.ResourceName) tally {
	GinkgoHelper()
	var nodes corev1.NodeList
	Expect(cluster.List(ctx, &nodes, client.MatchingLabels{"nvidia.com/gpu.product": "Simulated-A100"})).To(Succeed())
	t := tally{Nodes: int32(len(nodes.Items))}
	for i := range nodes.Items {
		capacity, allocatable := nodes.Items[i].Status.Capacity[resource], nodes.Items[i].Status.Allocatable[resource]
		t.Capacity += int32(capacity.Value())
		t.Allocatable += int32(allocatable.Value())
	}
	var pods corev1.PodList
	Expect(cluster.List(ctx, &pods)).To(Succeed())
	for i := range pods.Items {
		p := &pods.Items[i]
		if p.Spec.NodeName == "" || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		for _, c := range p.Spec.Containers {
			asked := c.Resources.Requests[resource]
			t.InUse += int32(asked.Value())
		}
	}
	t.Free = t.Allocatable - t.InUse
	return t
}

// makeAccelerator makes an Accelerator that goes with the spec. A job is told of one that is not there.
func makeAccelerator(ctx SpecContext, name string, spec v1alpha1.AcceleratorSpec) {
	GinkgoHelper()
	a := &v1alpha1.Accelerator{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
	Expect(cluster.Create(ctx, a)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { Expect(client.IgnoreNotFound(cluster.Delete(ctx, a))).To(Succeed()) })
}

// named is a job whose pods ask for a device each by the name of an Accelerator.
func named(namespace, name, accelerator string, replicas, count int32) *v1alpha1.TrainingJob {
	job := training(namespace, name, role("Worker", replicas, "sleep 3600"))
	job.Spec.Roles[0].Accelerator = &v1alpha1.AcceleratorRequest{Name: accelerator, Count: count}
	return job
}

var _ = Describe("an Accelerator", Serial, func() {
	It("gives devices of a device plugin by name, and is counted as nodes and pods are", func(ctx SpecContext) {
		needGPUs(ctx)
		namespace := newNamespace(ctx)
		job, huge := named(namespace, "three", "e2e-a100", 3, 1), named(namespace, "huge", "e2e-a100", 1, 64)
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionScheduled, "False AcceleratorNotFound")
		makeAccelerator(ctx, "e2e-a100", v1alpha1.AcceleratorSpec{
			Resource: gpu, NodeSelector: map[string]string{"nvidia.com/gpu.product": "Simulated-A100"},
		})
		expect(ctx, job, v1alpha1.ConditionRunning, "True AllRunning")
		Eventually(told(ctx, "e2e-a100")).Should(Equal(tally{1, gpus, gpus, 3, 1}))
		Expect(counted(ctx, gpu)).To(Equal(tally{1, gpus, gpus, 3, 1}))

		create(ctx, huge)
		expect(ctx, huge, v1alpha1.ConditionScheduled, "False AcceleratorUnsatisfiable")
		Expect(condition(ctx, huge, v1alpha1.ConditionScheduled)()).To(ContainSubstring("ask for at most 4"))

		// Pods that run keep what they have, whatever becomes of the Accelerator.
		before := uids(ctx, job)()
		Expect(cluster.Delete(ctx, &v1alpha1.Accelerator{ObjectMeta: metav1.ObjectMeta{Name: "e2e-a100"}})).To(Succeed())
		expect(ctx, huge, v1alpha1.ConditionScheduled, "False AcceleratorNotFound")
		Expect(uids(ctx, job)()).To(Equal(before))
	})

	It("gives devices of a class by claims", func(ctx SpecContext) {
		if run(ctx, "KUBECTL", "get", "deviceclass", "simulated-gpu").code != 0 {
			Skip("no class of simulated GPUs: make up DRA=2")
		}
		makeAccelerator(ctx, "e2e-claimed", v1alpha1.AcceleratorSpec{DeviceClass: &v1alpha1.DeviceClass{Name: "simulated-gpu"}})
		job := named(newNamespace(ctx), "claimed", "e2e-claimed", 2, 1)
		create(ctx, job)
		expect(ctx, job, v1alpha1.ConditionRunning, "True AllRunning")
		Eventually(told(ctx, "e2e-claimed")).Should(Equal(tally{1, 2, 2, 2, 0}))
	})

	It("can be discovered", func(ctx SpecContext) {
		needGPUs(ctx)
		found := run(ctx, "MILL", "accelerators", "discover")
		Expect(found.code).To(BeZero(), found.err)
		Expect(found.out).To(And(ContainSubstring("kind: Accelerator"), ContainSubstring("Simulated-A100"), ContainSubstring("resource: "+gpu)))
	})
})
