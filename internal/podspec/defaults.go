// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/yaml"
)

// Override replaces the spec's own value.
const Override Policy = "Override"

// Additions are what is merged into any part of a pod spec under one policy.
type Additions struct {
	// Policy is for everything that a spec can have with another value.
	Policy Policy
	// Main is the index of the container that Requests and Limits are for.
	Main int

	Env          []corev1.EnvVar
	EnvFrom      []corev1.EnvFromSource
	Volumes      []corev1.Volume
	Mounts       []corev1.VolumeMount
	Tolerations  []corev1.Toleration
	NodeSelector map[string]string
	Requests     corev1.ResourceList
	Limits       corev1.ResourceList
	// ServiceAccountName is of the pod; empty for none.
	ServiceAccountName string
	PullSecrets        []corev1.LocalObjectReference
	// InitContainers come before those of the spec, Sidecars before these, so that they run beside them too.
	InitContainers, Sidecars []corev1.Container
}

// Add merges additions into a spec and returns the conflicts in a fixed order. It may be repeated: what is there is not added again.
// Env and mounts are for every container but init containers.
func Add(spec *corev1.PodSpec, a Additions) []Conflict {
	var conflicts []Conflict
	for i := range spec.Containers {
		c := &spec.Containers[i]
		at := fmt.Sprintf("containers[%d].", i)
		conflicts = append(conflicts, front(at+"env", &c.Env, a.Env, a.Policy, func(v corev1.EnvVar) string { return v.Name })...)
		conflicts = append(conflicts, back(at+"volumeMounts", &c.VolumeMounts, a.Mounts, a.Policy, func(m corev1.VolumeMount) string { return m.MountPath })...)
		addEnvFrom(c, a.EnvFrom)
	}
	conflicts = append(conflicts, back("volumes", &spec.Volumes, a.Volumes, a.Policy, func(v corev1.Volume) string { return v.Name })...)
	conflicts = append(conflicts, back("imagePullSecrets", &spec.ImagePullSecrets, a.PullSecrets, a.Policy, func(r corev1.LocalObjectReference) string { return r.Name })...)
	conflicts = append(conflicts, front("initContainers", &spec.InitContainers, slices.Concat(sidecars(a.Sidecars), a.InitContainers), a.Policy, nameOf)...)
	mergeTolerations(spec, a.Tolerations)
	conflicts = append(conflicts, AddMap("nodeSelector", &spec.NodeSelector, a.NodeSelector, a.Policy)...)
	conflicts = append(conflicts, addAccount(spec, a)...)
	return append(conflicts, addResources(spec, a)...)
}

func nameOf(c corev1.Container) string { return c.Name }

// sidecars are containers that run beside the others and end with them.
func sidecars(containers []corev1.Container) []corev1.Container {
	all := slices.Clone(containers)
	for i := range all {
		all[i].RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
	}
	return all
}

func addAccount(spec *corev1.PodSpec, a Additions) []Conflict {
	have := spec.ServiceAccountName
	if a.ServiceAccountName == "" || have == a.ServiceAccountName {
		return nil
	}
	if have == "" || a.Policy == Override {
		spec.ServiceAccountName = a.ServiceAccountName
		return nil
	}
	if a.Policy == Yield {
		return nil
	}
	return []Conflict{{"serviceAccountName", have, a.ServiceAccountName}}
}

func addResources(spec *corev1.PodSpec, a Additions) []Conflict {
	if len(a.Requests)+len(a.Limits) == 0 {
		return nil
	}
	r, at := &spec.Containers[a.Main].Resources, fmt.Sprintf("containers[%d].resources.", a.Main)
	return slices.Concat(addList(at+"requests", &r.Requests, a.Requests, a.Policy), addList(at+"limits", &r.Limits, a.Limits, a.Policy))
}

func addList(field string, have *corev1.ResourceList, add corev1.ResourceList, policy Policy) []Conflict {
	var conflicts []Conflict
	for _, name := range slices.Sorted(maps.Keys(add)) {
		old, found := (*have)[name]
		want := add[name]
		switch {
		case !found && *have == nil:
			*have = corev1.ResourceList{name: want}
		case !found || policy == Override:
			(*have)[name] = want
		case policy != Yield && old.Cmp(want) != 0:
			conflicts = append(conflicts, Conflict{fmt.Sprintf("%s[%s]", field, name), old.String(), want.String()})
		}
	}
	return conflicts
}

// AddMap merges labels and the like.
func AddMap(field string, have *map[string]string, add map[string]string, policy Policy) []Conflict {
	var conflicts []Conflict
	for _, key := range slices.Sorted(maps.Keys(add)) {
		old, found := (*have)[key]
		switch {
		case !found && *have == nil:
			*have = map[string]string{key: add[key]}
		case !found || policy == Override:
			(*have)[key] = add[key]
		case policy != Yield && old != add[key]:
			conflicts = append(conflicts, Conflict{field + "[" + key + "]", old, add[key]})
		}
	}
	return conflicts
}

// addEnvFrom puts sources before those of a container, so that its own win.
func addEnvFrom(c *corev1.Container, add []corev1.EnvFromSource) {
	missing := slices.DeleteFunc(slices.Clone(add), func(s corev1.EnvFromSource) bool {
		return slices.ContainsFunc(c.EnvFrom, func(have corev1.EnvFromSource) bool { return equality.Semantic.DeepEqual(have, s) })
	})
	if len(missing) > 0 {
		c.EnvFrom = append(missing, c.EnvFrom...)
	}
}

// front adds items before those that are there, back after them.
func front[T any](field string, have *[]T, add []T, policy Policy, key func(T) string) []Conflict {
	missing, conflicts := meet(field, *have, add, policy, key)
	if len(missing) > 0 {
		*have = append(missing, *have...)
	}
	return conflicts
}

func back[T any](field string, have *[]T, add []T, policy Policy, key func(T) string) []Conflict {
	missing, conflicts := meet(field, *have, add, policy, key)
	*have = append(*have, missing...)
	return conflicts
}

// meet replaces items in place where the policy says so, and returns those whose key is not there yet.
func meet[T any](field string, have, add []T, policy Policy, key func(T) string) (missing []T, conflicts []Conflict) {
	for _, want := range add {
		i := slices.IndexFunc(have, func(h T) bool { return key(h) == key(want) })
		switch {
		case i < 0:
			missing = append(missing, want)
		case policy == Override:
			have[i] = want
		case policy != Yield && !equality.Semantic.DeepEqual(have[i], want):
			conflicts = append(conflicts, Conflict{field + "[" + key(want) + "]", short(have[i]), short(want)})
		}
	}
	return missing, conflicts
}

// short is a value for a message: on one line, and no longer than people read.
func short(v any) string {
	const most = 120
	data, err := yaml.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if data, err = yaml.YAMLToJSON(data); err != nil {
		return fmt.Sprint(v)
	}
	if len(data) > most {
		return string(data[:most]) + "..."
	}
	return string(data)
}
