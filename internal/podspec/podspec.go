// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package podspec edits pod specs. Everything in it is pure; user's fields win, and a variable that must be ours is a
// clash that names its place.
package podspec

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Clash is a place where a user's spec sets what must be ours.
type Clash struct {
	// Field is the path in the pod spec, such as containers[0].env[2].
	Field string
	// Name is of the variable.
	Name string
}

// Every stands for all containers of a pod.
const Every = -1

// Clashes returns the first place where a container, or any of Every, sets one of the variables.
func Clashes(spec *corev1.PodSpec, container int, reserved []string) (Clash, bool) {
	for i, c := range spec.Containers {
		if container != Every && container != i {
			continue
		}
		for k, e := range c.Env {
			if slices.Contains(reserved, e.Name) {
				return Clash{Field: fmt.Sprintf("containers[%d].env[%d]", i, k), Name: e.Name}, true
			}
		}
	}
	return Clash{}, false
}

// AddEnv puts variables before those of a container, or of Every, so that the user's may refer to them by $(NAME). A
// variable that a container has already is left as it is.
func AddEnv(spec *corev1.PodSpec, container int, vars []corev1.EnvVar) {
	for i := range spec.Containers {
		if container != Every && container != i {
			continue
		}
		c := &spec.Containers[i]
		env := make([]corev1.EnvVar, 0, len(vars)+len(c.Env))
		for _, v := range vars {
			if !hasEnv(c.Env, v.Name) {
				env = append(env, v)
			}
		}
		c.Env = append(env, c.Env...)
	}
}

func hasEnv(env []corev1.EnvVar, name string) bool {
	return slices.ContainsFunc(env, func(e corev1.EnvVar) bool { return e.Name == name })
}

// AddPort adds a named port to a container that has none of that name or number. A pod on the host's network gets none: the port
// would be taken on the node, and two pods could not share it.
func AddPort(spec *corev1.PodSpec, container int, name string, port int32) {
	if spec.HostNetwork {
		return
	}
	c := &spec.Containers[container]
	taken := slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == name || p.ContainerPort == port })
	if !taken {
		c.Ports = append(c.Ports, corev1.ContainerPort{Name: name, ContainerPort: port, Protocol: corev1.ProtocolTCP})
	}
}

// Mount adds a volume and mounts it in a container.
func Mount(spec *corev1.PodSpec, container int, volume corev1.Volume, path string) {
	spec.Volumes = append(spec.Volumes, volume)
	c := &spec.Containers[container]
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: volume.Name, MountPath: path})
}

// ResolveOnHost lets a pod on the host's network find the names of the cluster, which it does not unless told so.
func ResolveOnHost(spec *corev1.PodSpec) {
	if spec.HostNetwork && (spec.DNSPolicy == "" || spec.DNSPolicy == corev1.DNSClusterFirst) {
		spec.DNSPolicy = corev1.DNSClusterFirstWithHostNet
	}
}

// ExplainTermination makes containers that say nothing at their end say the last lines of their log, where the user
// has not chosen.
func ExplainTermination(spec *corev1.PodSpec) {
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			if list[i].TerminationMessagePolicy == "" {
				list[i].TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
			}
		}
	}
}

// NodeAffinity is the node affinity of a pod, which is made where there is none.
func NodeAffinity(spec *corev1.PodSpec) *corev1.NodeAffinity {
	return fill(&fill(&spec.Affinity).NodeAffinity)
}

// PodAffinity is the pod affinity of a pod, which is made where there is none.
func PodAffinity(spec *corev1.PodSpec) *corev1.PodAffinity {
	return fill(&fill(&spec.Affinity).PodAffinity)
}

func fill[T any](at **T) *T {
	if *at == nil {
		*at = new(T)
	}
	return *at
}
