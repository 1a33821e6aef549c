// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"encoding/json"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/names"
)

// snapshotKind is the kind of a snapshot of a volume.
var snapshotKind = schema.GroupVersionKind{Group: "snapshot.storage.k8s.io", Version: "v1", Kind: "VolumeSnapshot"}

// claim is the template of the claim of a workspace that is made; nil where there is none. It cannot change once the StatefulSet is there,
// so the size is that of then: what grows is the claim.
func (s *state) claim() *corev1.PersistentVolumeClaim {
	w := s.nb.Spec.Workspace
	if w == nil || w.Size == nil {
		return nil
	}
	size := *w.Size
	if set := s.world.Set; set != nil && len(set.Spec.VolumeClaimTemplates) > 0 {
		size = sizeOf(&set.Spec.VolumeClaimTemplates[0])
	}
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: names.Workspace, Labels: ownLabels(s.nb)},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: size}},
			DataSource:  sourceOf(w.From),
		},
	}
	if w.StorageClassName != "" {
		claim.Spec.StorageClassName = &w.StorageClassName
	}
	return claim
}

func sizeOf(claim *corev1.PersistentVolumeClaim) resource.Quantity {
	return claim.Spec.Resources.Requests[corev1.ResourceStorage]
}

func sourceOf(from *v1alpha1.VolumeSource) *corev1.TypedLocalObjectReference {
	switch {
	case from == nil:
		return nil
	case from.Notebook != "":
		return &corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: names.WorkspaceClaim(from.Notebook)}
	}
	return &corev1.TypedLocalObjectReference{APIGroup: &snapshotKind.Group, Kind: snapshotKind.Kind, Name: from.Snapshot}
}

// retention is what becomes of the workspace with the notebook. One that was made for it and that no server ever had goes in any case: it
// is empty. A server that runs has it, whether it takes requests or not. A claim that is older is of an earlier notebook of the name, and one that is not seen may be anybody's.
func (s *state) retention() appsv1.PersistentVolumeClaimRetentionPolicyType {
	if s.world.Claim == nil {
		return appsv1.RetainPersistentVolumeClaimRetentionPolicyType
	}
	unused := !s.world.Claim.CreationTimestamp.Before(&s.nb.CreationTimestamp) && s.nb.Status.RunningTime == nil && (s.world.Pod == nil || s.untouched(s.world.Pod))
	if s.nb.Spec.Workspace.OnDelete == v1alpha1.DeleteVolume || unused {
		return appsv1.DeletePersistentVolumeClaimRetentionPolicyType
	}
	return appsv1.RetainPersistentVolumeClaimRetentionPolicyType
}

// untouched is true of a pod in which no server ever ran.
func (s *state) untouched(p *corev1.Pod) bool {
	c := s.main(p)
	return !up(p) && c.State.Running == nil && c.State.Terminated == nil && c.LastTerminationState.Terminated == nil
}

// grow asks for more storage. Whether there is more the volume's driver decides; the claim's conditions tell.
func (s *state) grow(plan *engine.Plan) {
	w, claim := s.nb.Spec.Workspace, s.world.Claim
	if w == nil || w.Size == nil || claim == nil {
		return
	}
	have := sizeOf(claim)
	if w.Size.Cmp(have) <= 0 {
		return
	}
	data, err := json.Marshal(map[string]any{"spec": map[string]any{"resources": map[string]any{"requests": map[string]any{"storage": w.Size.String()}}}})
	if err != nil {
		panic(err) // only of types that JSON cannot hold
	}
	named := &corev1.PersistentVolumeClaim{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"},
		ObjectMeta: metav1.ObjectMeta{Name: claim.Name, Namespace: claim.Namespace, UID: claim.UID},
	}
	plan.Patch = append(plan.Patch, engine.Step{Object: named, Data: data, Reason: eventResize, Why: "the volume grows to " + w.Size.String()})
}

// snapshots takes those that are asked for, once the volume is there, and deletes those that are not any more.
func (s *state) snapshots(plan *engine.Plan) {
	if s.nb.Spec.Workspace == nil {
		return
	}
	wanted := map[string]bool{}
	for _, asked := range s.nb.Spec.Workspace.Snapshots {
		wanted[s.nb.Name+"-"+asked.Name] = true
		if s.world.Claim != nil && slices.Contains(s.world.Served, snapshotKind) && !s.taken(s.nb.Name+"-"+asked.Name) {
			plan.Create = append(plan.Create, engine.Step{Object: s.snapshot(asked)})
		}
	}
	for i := range s.world.Snapshots {
		if o := &s.world.Snapshots[i]; !wanted[o.GetName()] && o.GetDeletionTimestamp() == nil {
			plan.Delete = append(plan.Delete, engine.Step{Object: o, Reason: eventForget, Why: "spec.workspace.snapshots does not name it any more"})
		}
	}
}

func (s *state) taken(name string) bool {
	return slices.ContainsFunc(s.world.Snapshots, func(o unstructured.Unstructured) bool { return o.GetName() == name })
}

func (s *state) snapshot(asked v1alpha1.Snapshot) *unstructured.Unstructured {
	spec := map[string]any{"source": map[string]any{"persistentVolumeClaimName": names.WorkspaceClaim(s.nb.Name)}}
	if asked.ClassName != "" {
		spec["volumeSnapshotClassName"] = asked.ClassName
	}
	o := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	o.SetGroupVersionKind(snapshotKind)
	o.SetName(s.nb.Name + "-" + asked.Name)
	o.SetNamespace(s.nb.Namespace)
	o.SetLabels(ownLabels(s.nb))
	return o
}
