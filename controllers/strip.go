// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/kueue"
	"github.com/millrace-ml/millrace/internal/names"
)

// stripPod keeps of a pod what plans read: whose it is, where it runs, what it asks for, how it is. One informer holds
// one form of an object, and a cluster may have 100,000 pods that are not ours.
func stripPod(p *corev1.Pod) {
	p.ManagedFields = nil
	for key := range p.Labels {
		// Which pod of a trial is measured its user may say by any label, and PodDefaults choose by any.
		if !strings.HasPrefix(key, v1alpha1.Group+"/") && p.Labels[names.Trial] == "" && p.Labels[names.PodDefaults] != "true" {
			delete(p.Labels, key)
		}
	}
	var pinned map[string]string
	if p.Annotations[kueue.WorkloadAnnotation] != "" {
		pinned = p.Spec.NodeSelector // its place in the topology of its queue, which no other pod may have
	}
	if p.Labels[names.Notebook] == "" {
		delete(p.Annotations, names.DefaultContainer) // of others nobody asks which container is the server
	}
	p.Annotations = keep(p.Annotations, names.Heartbeat, names.Step, names.Checkpoint, names.Avoids, names.MadeFrom, names.DefaultContainer)
	p.Spec = corev1.PodSpec{
		NodeSelector: pinned,
		NodeName:     p.Spec.NodeName, RestartPolicy: p.Spec.RestartPolicy, Containers: stripContainers(p.Spec.Containers),
		InitContainers: stripContainers(p.Spec.InitContainers),
	}
	address := p.Status.PodIP
	if p.Labels[names.Trial] == "" {
		address = "" // nobody asks other pods for anything
	}
	p.Status = corev1.PodStatus{
		PodIP: address,
		Phase: p.Status.Phase, Reason: p.Status.Reason, Message: p.Status.Message, Conditions: stripConditions(p.Status.Conditions),
		ContainerStatuses: stripStatuses(p.Status.ContainerStatuses), InitContainerStatuses: stripStatuses(p.Status.InitContainerStatuses),
	}
}

// stripNode keeps of a node whether it answers, what pods may be placed on it by, and what it has. Its kubelet tells that it is
// alive again and again.
func stripNode(o any) (any, error) {
	n, ok := o.(*corev1.Node)
	if !ok {
		return o, nil
	}
	n.ManagedFields, n.Annotations = nil, keep(n.Annotations, names.Cordoned)
	n.Spec = corev1.NodeSpec{Taints: n.Spec.Taints, Unschedulable: n.Spec.Unschedulable}
	for i := range n.Status.Conditions {
		c := &n.Status.Conditions[i]
		c.LastHeartbeatTime.Reset()
		if slices.Contains(kubelets, c.Type) {
			c.Reason, c.Message = "", ""
		}
	}
	n.Status = corev1.NodeStatus{Conditions: n.Status.Conditions, Capacity: n.Status.Capacity, Allocatable: n.Status.Allocatable}
	return n, nil
}

// kubelets are the conditions that every node has, whose words say no more than their names.
var kubelets = []corev1.NodeConditionType{
	corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure, corev1.NodeNetworkUnavailable,
}

// keep is what a map holds of some keys.
func keep(all map[string]string, keys ...string) map[string]string {
	var kept map[string]string
	for _, key := range keys {
		value, found := all[key]
		if !found {
			continue
		}
		if kept == nil {
			kept = map[string]string{}
		}
		kept[key] = value
	}
	return kept
}

func stripContainers(containers []corev1.Container) []corev1.Container {
	stripped := make([]corev1.Container, len(containers))
	for i, c := range containers {
		stripped[i] = corev1.Container{Name: c.Name, Resources: c.Resources, RestartPolicy: c.RestartPolicy, ResizePolicy: restarting(c.ResizePolicy)}
	}
	return stripped
}

// restarting are the policies of resizing by which a container is started again. The API server gives every container the others.
func restarting(policies []corev1.ContainerResizePolicy) []corev1.ContainerResizePolicy {
	var kept []corev1.ContainerResizePolicy
	for _, p := range policies {
		if p.RestartPolicy == corev1.RestartContainer {
			kept = append(kept, p)
		}
	}
	return kept
}

// stripConditions drops the times of probes, which change without anything having happened, and conditions that Ready repeats.
func stripConditions(conditions []corev1.PodCondition) []corev1.PodCondition {
	var stripped []corev1.PodCondition
	for _, c := range conditions {
		if c.Type == corev1.PodInitialized || c.Type == corev1.ContainersReady {
			continue
		}
		c.LastProbeTime.Reset()
		stripped = append(stripped, c)
	}
	return stripped
}

func stripStatuses(statuses []corev1.ContainerStatus) []corev1.ContainerStatus {
	stripped := make([]corev1.ContainerStatus, len(statuses))
	for i, s := range statuses {
		stripped[i] = corev1.ContainerStatus{
			Name: s.Name, State: s.State, LastTerminationState: s.LastTerminationState, Ready: s.Ready, RestartCount: s.RestartCount,
			AllocatedResourcesStatus: s.AllocatedResourcesStatus,
		}
	}
	return stripped
}
