// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package accelerator knows what an Accelerator means. Everything in it is pure:
//
//	Accelerator + count         -> Overlay: what a pod is given (ClaimTemplate beside it, by dynamic resource allocation)
//	nodes, pods, slices, claims -> Tally: what there is, who uses it, what fits now
//	statuses + count            -> Most, Nearest, Crowded: what can never be had, what can, and what others hold
//	node labels and resources   -> Discover: Accelerators that describe a cluster
package accelerator

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/podspec"
)

// Ask is what a pod asks for.
type Ask struct {
	// Count is the number of devices.
	Count int32
	// Container is the index of the container that is given them.
	Container int
	// Namespace is the pod's.
	Namespace string
	// Template is the name of the ResourceClaimTemplate, where there is one.
	Template string
}

// claim is the name by which a pod knows its devices, and a claim its one request.
const claim = "millrace-devices"

// Overlay is what a pod is given that asks for devices.
func Overlay(a *v1alpha1.Accelerator, ask Ask) podspec.Overlay {
	o := podspec.Overlay{
		NodeSelector: a.Spec.NodeSelector, NodeAffinity: a.Spec.NodeAffinity, Tolerations: a.Spec.Tolerations,
		RuntimeClassName: a.Spec.RuntimeClassName, AntiAffinity: apart(a, ask.Namespace),
		Container: ask.Container, Env: a.Spec.Env, EnvPolicy: podspec.Yield,
	}
	if a.Spec.DeviceClass != nil {
		o.Claims = []corev1.PodResourceClaim{{Name: claim, ResourceClaimTemplateName: &ask.Template}}
		return o
	}
	o.Devices = map[corev1.ResourceName]int64{corev1.ResourceName(a.Spec.Resource): int64(ask.Count)}
	return o
}

// Labels are those of a pod that asks for devices.
func Labels(a *v1alpha1.Accelerator, namespace string) map[string]string {
	labels := map[string]string{names.Accelerator: a.Name, names.AcceleratorForm: Form(a)}
	if Strict(a) {
		labels[names.Profile] = Profile(namespace)
	}
	return labels
}

// Form tells apart what an Accelerator means before and after a change.
func Form(a *v1alpha1.Accelerator) string { return names.Digest(encode(a.Spec)) }

// ClaimTemplate is how the pods of a role claim devices of a DeviceClass, and its content in a word; nil where they do not.
func ClaimTemplate(a *v1alpha1.Accelerator, count int32) (spec *resourcev1.ResourceClaimTemplateSpec, content string) {
	class := a.Spec.DeviceClass
	if class == nil {
		return nil, ""
	}
	request := &resourcev1.ExactDeviceRequest{
		DeviceClassName: class.Name, AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: int64(count),
	}
	for _, expression := range class.Selectors {
		request.Selectors = append(request.Selectors, resourcev1.DeviceSelector{CEL: &resourcev1.CELDeviceSelector{Expression: expression}})
	}
	spec = &resourcev1.ResourceClaimTemplateSpec{Spec: resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{
		Requests: []resourcev1.DeviceRequest{{Name: claim, Exactly: request}},
	}}}
	return spec, encode(spec)
}

func encode(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // only of types that JSON cannot hold
	}
	return string(text)
}

// Profile is the Profile of a namespace, which is the namespace itself as long as there are no Profiles.
func Profile(namespace string) string { return namespace }

// Strict is true of an Accelerator whose devices are shared by pods of one Profile only. What MIG cuts off is kept apart by
// the hardware, and is as good as a device.
func Strict(a *v1alpha1.Accelerator) bool {
	s := a.Spec.Sharing
	return s != nil && (s.Mode == v1alpha1.SharingTimeSlice || s.Mode == v1alpha1.SharingMPS) && s.AcrossProfiles != v1alpha1.AcrossAllow
}

// apart keeps a pod off nodes where pods of another Profile use the Accelerator: which device of a node a pod is given is not
// known before. The scheduler asks it of the pods there too, so two pods that are placed at the same time cannot miss each other.
func apart(a *v1alpha1.Accelerator, namespace string) []corev1.PodAffinityTerm {
	if !Strict(a) {
		return nil
	}
	return []corev1.PodAffinityTerm{{
		TopologyKey:       corev1.LabelHostname,
		NamespaceSelector: &metav1.LabelSelector{},
		LabelSelector: &metav1.LabelSelector{
			MatchLabels: map[string]string{names.Accelerator: a.Name},
			MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: names.Profile, Operator: metav1.LabelSelectorOpNotIn, Values: []string{Profile(namespace)}},
			},
		},
	}}
}
