// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package notebookpod makes the pod of a notebook. It is pure: the controller of notebooks runs it, and that of PodDefaults looks at what it
// would contradict.
package notebookpod

import (
	"cmp"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/accelerator"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/podspec"
)

const (
	// Port is where a server listens that says nothing else.
	Port = 8888
	// Prefix is the variable with the path below which a server is.
	Prefix = "NB_PREFIX"
	// Home is the directory of the user of Jupyter's images.
	Home = "/home/jovyan"
	// users is the group that owns it.
	users = 100
	// Editor is the service account of the people who work in a namespace: of pods that neither their template nor a PodDefault gives another.
	Editor = "default-editor"
	// shared is the volume of /dev/shm.
	shared = "shared-memory"
)

// Template is the pod that is wanted: the user's, with what existing images rely on. A request is given its devices.
func Template(nb *v1alpha1.Notebook, request *accelerator.Request) corev1.PodTemplateSpec {
	t := Written(nb)
	podspec.AddEnv(&t.Spec, 0, []corev1.EnvVar{{Name: Prefix, Value: names.NotebookPath(nb.Namespace, nb.Name)}})
	server := &t.Spec.Containers[0]
	if len(server.Ports) == 0 {
		podspec.AddPort(&t.Spec, 0, "notebook-port", Port)
	}
	server.WorkingDir = cmp.Or(server.WorkingDir, workingDir(nb))
	if t.Spec.SecurityContext == nil {
		t.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: new(int64(users))}
	}
	mount(&t.Spec, nb)
	podspec.ResolveOnHost(&t.Spec)
	podspec.ExplainTermination(&t.Spec)
	t.ObjectMeta = metav1.ObjectMeta{Labels: labels(nb, t.Labels), Annotations: annotations(nb, t.Annotations)}
	if request != nil {
		podspec.Merge(&t.Spec, accelerator.Overlay(request.Of, request.Ask))
		maps.Copy(t.Labels, accelerator.Labels(request.Of, nb.Namespace))
	}
	return t
}

// Written is the pod as the user wrote it, in either form.
func Written(nb *v1alpha1.Notebook) corev1.PodTemplateSpec {
	if nb.Spec.Template != nil {
		return *nb.Spec.Template.DeepCopy()
	}
	c := corev1.Container{Name: nb.Name, Image: nb.Spec.Image}
	for _, e := range nb.Spec.Env {
		c.Env = append(c.Env, *e.DeepCopy())
	}
	c.Resources = resources(nb)
	c.ReadinessProbe = &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(Port)}},
		PeriodSeconds: 5,
	}
	return corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{c}}}
}

// resources of the short form: what is asked for is what may be used.
func resources(nb *v1alpha1.Notebook) corev1.ResourceRequirements {
	list := corev1.ResourceList{}
	if nb.Spec.CPU != nil {
		list[corev1.ResourceCPU] = *nb.Spec.CPU
	}
	if nb.Spec.Memory != nil {
		list[corev1.ResourceMemory] = *nb.Spec.Memory
	}
	if len(list) == 0 {
		return corev1.ResourceRequirements{}
	}
	return corev1.ResourceRequirements{Requests: list, Limits: list.DeepCopy()}
}

func workingDir(nb *v1alpha1.Notebook) string {
	if w := nb.Spec.Workspace; w != nil && w.MountPath != "" {
		return w.MountPath
	}
	return Home
}

// mount adds the volumes that the notebook names beside its template. That of a workspace to be made comes from the StatefulSet.
func mount(spec *corev1.PodSpec, nb *v1alpha1.Notebook) {
	server := &spec.Containers[0]
	if w := nb.Spec.Workspace; w != nil && w.ClaimName != "" {
		podspec.Mount(spec, 0, claimed(names.Workspace, w.ClaimName, false), workingDir(nb))
	} else if w != nil {
		server.VolumeMounts = append(server.VolumeMounts, corev1.VolumeMount{Name: names.Workspace, MountPath: workingDir(nb)})
	}
	for _, v := range nb.Spec.Volumes {
		only := v.Access == v1alpha1.ReadOnly
		podspec.Mount(spec, 0, claimed(v.Name, v.ClaimName, only), v.MountPath)
		server.VolumeMounts[len(server.VolumeMounts)-1].ReadOnly = only
	}
	if size := nb.Spec.SharedMemory; size != nil {
		memory := corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory, SizeLimit: size}
		podspec.Mount(spec, 0, corev1.Volume{Name: shared, VolumeSource: corev1.VolumeSource{EmptyDir: &memory}}, "/dev/shm")
	}
}

func claimed(name, claim string, only bool) corev1.Volume {
	source := &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim, ReadOnly: only}
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: source}}
}

// labels are those of the template and of the notebook, as Kubeflow has it, and ours over them: selectors depend on ours.
func labels(nb *v1alpha1.Notebook, users map[string]string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, users)
	maps.Copy(all, nb.Labels)
	maps.Copy(all, map[string]string{
		names.ManagedBy: names.Manager, names.Notebook: nb.Name,
		"statefulset": nb.Name, "notebook-name": nb.Name,
	})
	return all
}

// annotations are those of the template, and of the notebook's those that are not about the notebook itself.
func annotations(nb *v1alpha1.Notebook, users map[string]string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, users)
	for key, value := range nb.Annotations {
		own := strings.Contains(key, "kubectl") || strings.Contains(key, "notebook") || strings.HasPrefix(key, v1alpha1.Group+"/") || key == names.Stopped
		if !own {
			all[key] = value
		}
	}
	return all
}
