// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Policy says what becomes of a field that a spec has with another value.
type Policy string

// The policies.
const (
	// Refuse makes it a conflict. The spec's own value stays in this case too.
	Refuse Policy = "Refuse"
	// Yield lets the spec's own value stand.
	Yield Policy = "Yield"
)

// Overlay is what is merged into a pod spec: what a platform adds to what a user wrote.
type Overlay struct {
	NodeSelector map[string]string
	// NodeAffinity are terms of which a node must meet one. They are added to each of the spec's own.
	NodeAffinity []corev1.NodeSelectorTerm
	Tolerations  []corev1.Toleration
	// AntiAffinity are terms about other pods, added to the spec's own.
	AntiAffinity     []corev1.PodAffinityTerm
	RuntimeClassName string

	// Container is the index of the container that the rest is for.
	Container int
	// Devices are limits and requests of the container.
	Devices map[corev1.ResourceName]int64
	Claims  []corev1.PodResourceClaim
	Env     []corev1.EnvVar
	// EnvPolicy is for variables; anything else refuses another value.
	EnvPolicy Policy
}

// Conflict is a field of a spec with another value than the overlay's.
type Conflict struct {
	// Field is the path in the pod spec, such as containers[0].resources.limits[nvidia.com/gpu].
	Field string
	// Have is the spec's value, Want the overlay's.
	Have, Want string
}

// Merge adds an overlay to a spec and returns the conflicts in a fixed order. It may be repeated: what is there is not added again.
func Merge(spec *corev1.PodSpec, o Overlay) []Conflict {
	conflicts := slices.Concat(mergeNodeSelector(spec, o.NodeSelector), mergeRuntime(spec, o.RuntimeClassName))
	mergeTolerations(spec, o.Tolerations)
	mergeNodeAffinity(spec, o.NodeAffinity)
	mergeAntiAffinity(spec, o.AntiAffinity)
	return slices.Concat(conflicts, mergeDevices(spec, o), mergeClaims(spec, o), mergeEnv(spec, o))
}

func mergeNodeSelector(spec *corev1.PodSpec, add map[string]string) []Conflict {
	var conflicts []Conflict
	for _, key := range slices.Sorted(maps.Keys(add)) {
		have, found := spec.NodeSelector[key]
		switch {
		case !found && spec.NodeSelector == nil:
			spec.NodeSelector = map[string]string{key: add[key]}
		case !found:
			spec.NodeSelector[key] = add[key]
		case have != add[key]:
			conflicts = append(conflicts, Conflict{"nodeSelector[" + key + "]", have, add[key]})
		}
	}
	return conflicts
}

func mergeRuntime(spec *corev1.PodSpec, name string) []Conflict {
	switch {
	case name == "":
		return nil
	case spec.RuntimeClassName == nil:
		spec.RuntimeClassName = &name
	case *spec.RuntimeClassName != name:
		return []Conflict{{"runtimeClassName", *spec.RuntimeClassName, name}}
	}
	return nil
}

func mergeTolerations(spec *corev1.PodSpec, add []corev1.Toleration) {
	for _, t := range add {
		if !slices.ContainsFunc(spec.Tolerations, func(have corev1.Toleration) bool { return have.MatchToleration(&t) }) {
			spec.Tolerations = append(spec.Tolerations, t)
		}
	}
}

// mergeNodeAffinity makes each pair of a term of the spec and one that is added a term that asks for both.
func mergeNodeAffinity(spec *corev1.PodSpec, add []corev1.NodeSelectorTerm) {
	if len(add) == 0 {
		return
	}
	nodes := NodeAffinity(spec)
	if nodes.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		nodes.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{NodeSelectorTerms: slices.Clone(add)}
		return
	}
	required := nodes.RequiredDuringSchedulingIgnoredDuringExecution
	var terms []corev1.NodeSelectorTerm
	for _, own := range required.NodeSelectorTerms {
		if len(own.MatchExpressions)+len(own.MatchFields) == 0 {
			continue // an empty term matches no node, and must not come to match some
		}
		for _, more := range add {
			terms = append(terms, both(own, more))
		}
	}
	if terms != nil {
		required.NodeSelectorTerms = terms
	}
}

// both asks for what either term asks for.
func both(a, b corev1.NodeSelectorTerm) corev1.NodeSelectorTerm {
	union := func(a, b []corev1.NodeSelectorRequirement) []corev1.NodeSelectorRequirement {
		all := slices.Clone(a)
		for _, r := range b {
			if !slices.ContainsFunc(all, func(have corev1.NodeSelectorRequirement) bool { return equality.Semantic.DeepEqual(have, r) }) {
				all = append(all, r)
			}
		}
		return all
	}
	return corev1.NodeSelectorTerm{
		MatchExpressions: union(a.MatchExpressions, b.MatchExpressions), MatchFields: union(a.MatchFields, b.MatchFields),
	}
}

func mergeAntiAffinity(spec *corev1.PodSpec, add []corev1.PodAffinityTerm) {
	if len(add) == 0 {
		return
	}
	terms := &fill(&fill(&spec.Affinity).PodAntiAffinity).RequiredDuringSchedulingIgnoredDuringExecution
	for _, t := range add {
		if !slices.ContainsFunc(*terms, func(have corev1.PodAffinityTerm) bool { return equality.Semantic.DeepEqual(have, t) }) {
			*terms = append(*terms, t)
		}
	}
}

// mergeDevices sets limits and requests, which the API server wants to be equal for what cannot be overcommitted.
func mergeDevices(spec *corev1.PodSpec, o Overlay) []Conflict {
	var conflicts []Conflict
	r := &spec.Containers[o.Container].Resources
	for _, name := range slices.Sorted(maps.Keys(o.Devices)) {
		want := *resource.NewQuantity(o.Devices[name], resource.DecimalSI)
		for _, list := range []struct {
			field string
			of    *corev1.ResourceList
		}{{"limits", &r.Limits}, {"requests", &r.Requests}} {
			have, found := (*list.of)[name]
			if found && have.Cmp(want) != 0 {
				field := fmt.Sprintf("containers[%d].resources.%s[%s]", o.Container, list.field, name)
				conflicts = append(conflicts, Conflict{field, have.String(), want.String()})
				continue
			}
			if *list.of == nil {
				*list.of = corev1.ResourceList{}
			}
			(*list.of)[name] = want
		}
	}
	return conflicts
}

// mergeClaims adds claims to the pod, and to the container the use of them.
func mergeClaims(spec *corev1.PodSpec, o Overlay) []Conflict {
	var conflicts []Conflict
	main := &spec.Containers[o.Container].Resources
	for _, claim := range o.Claims {
		i := slices.IndexFunc(spec.ResourceClaims, func(have corev1.PodResourceClaim) bool { return have.Name == claim.Name })
		if i >= 0 && !equality.Semantic.DeepEqual(spec.ResourceClaims[i], claim) {
			conflicts = append(conflicts, Conflict{
				fmt.Sprintf("resourceClaims[%d].resourceClaimTemplateName", i), templateOf(spec.ResourceClaims[i]), templateOf(claim),
			})
			continue
		}
		if i < 0 {
			spec.ResourceClaims = append(spec.ResourceClaims, claim)
		}
		if !slices.ContainsFunc(main.Claims, func(c corev1.ResourceClaim) bool { return c.Name == claim.Name }) {
			main.Claims = append(main.Claims, corev1.ResourceClaim{Name: claim.Name})
		}
	}
	return conflicts
}

func templateOf(c corev1.PodResourceClaim) string {
	if c.ResourceClaimTemplateName == nil {
		return "not set"
	}
	return *c.ResourceClaimTemplateName
}

func mergeEnv(spec *corev1.PodSpec, o Overlay) []Conflict {
	var conflicts []Conflict
	for _, v := range o.Env {
		own := spec.Containers[o.Container].Env
		i := slices.IndexFunc(own, func(have corev1.EnvVar) bool { return have.Name == v.Name })
		if i >= 0 && o.EnvPolicy != Yield && !equality.Semantic.DeepEqual(own[i], v) {
			conflicts = append(conflicts, Conflict{fmt.Sprintf("containers[%d].env[%d]", o.Container, i), own[i].Value, v.Value})
		}
	}
	AddEnv(spec, o.Container, o.Env)
	return conflicts
}
