// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package index declares every index of the cache.
package index

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/accelerator"
	"github.com/millrace-ml/millrace/internal/names"
)

// OwnerUID indexes pods by the UID of their controller, so that looking at one job costs nothing for the pods of others.
const OwnerUID = "metadata.ownerReferences.controller.uid"

// JobNode indexes the pods of TrainingJobs by their node; pods of others, of which a cluster may have many more, are not in it.
const JobNode = "spec.nodeName"

// JudgedNode indexes TrainingJobs by the nodes they have something against.
const JudgedNode = "status.nodes.name"

// UnwellNode indexes nodes that are not healthy. What that is the manager's configuration says, so that its user declares it.
const UnwellNode = "unwell"

// InvolvedUID indexes events by the UID of the object they are about.
const InvolvedUID = "involvedObject.uid"

// Accelerators indexes jobs that have not ended, and notebooks, by the Accelerators they name.
const Accelerators = "spec.roles.accelerator.name"

// Devices indexes pods by the extended resources that they hold.
const Devices = "spec.containers.resources.requests.extended"

// AnyAccelerator is the value of Accelerators of jobs whose status tells of Accelerators that they do not name.
const AnyAccelerator = "*"

// AsksForDefaults indexes pods that ask for PodDefaults and are not Millrace's; Yes is the only value.
const AsksForDefaults = "metadata.labels.poddefaults"

// HoldsNodes indexes jobs whose gang holds nodes while it waits for more; Yes is the only value.
const (
	HoldsNodes = "status.gang.holdsNodes"
	Yes        = "yes"
)

// indexes is the table of all indexes.
var indexes = []struct {
	object client.Object
	field  string
	values client.IndexerFunc
}{
	{&corev1.Pod{}, OwnerUID, ownerUID},
	{&corev1.Pod{}, JobNode, jobNode},
	{&v1alpha1.TrainingJob{}, JudgedNode, judgedNodes},
	{&corev1.Event{}, InvolvedUID, involvedUID},
	{&v1alpha1.TrainingJob{}, Accelerators, accelerators},
	{&corev1.Pod{}, Devices, devices},
	{&v1alpha1.TrainingJob{}, HoldsNodes, holdsNodes},
	{&v1alpha1.Notebook{}, Accelerators, notebookAccelerators},
	{&corev1.Pod{}, AsksForDefaults, asksForDefaults},
}

// Add declares the indexes to a cache.
func Add(ctx context.Context, indexer client.FieldIndexer) error {
	for _, i := range indexes {
		if err := indexer.IndexField(ctx, i.object, i.field, i.values); err != nil {
			return fmt.Errorf("adding index %s: %w", i.field, err)
		}
	}
	return nil
}

// Values are the values of an index for an object; fakes of the cache use it.
func Values(field string) client.IndexerFunc {
	for _, i := range indexes {
		if i.field == field {
			return i.values
		}
	}
	return func(client.Object) []string { return nil }
}

func ownerUID(o client.Object) []string {
	ref := metav1.GetControllerOfNoCopy(o)
	if ref == nil {
		return nil
	}
	return []string{string(ref.UID)}
}

// JobOf is the name of the TrainingJob that controls an object, or empty.
func JobOf(o client.Object) string {
	ref := metav1.GetControllerOfNoCopy(o)
	if ref == nil || ref.Kind != "TrainingJob" || ref.APIVersion != v1alpha1.GroupVersion.String() {
		return ""
	}
	return ref.Name
}

func jobNode(o client.Object) []string {
	p, ok := o.(*corev1.Pod)
	if !ok || p.Spec.NodeName == "" || JobOf(p) == "" {
		return nil
	}
	return []string{p.Spec.NodeName}
}

func judgedNodes(o client.Object) []string {
	job, ok := o.(*v1alpha1.TrainingJob)
	if !ok {
		return nil
	}
	var all []string
	for _, n := range job.Status.Nodes {
		all = append(all, n.Name)
	}
	return all
}

func involvedUID(o client.Object) []string {
	e, ok := o.(*corev1.Event)
	if !ok {
		return nil
	}
	return []string{string(e.InvolvedObject.UID)}
}

// elsewhere are the reasons of jobs whose status tells of Accelerators that they do not name.
var elsewhere = []string{v1alpha1.ReasonAcceleratorNotFound, v1alpha1.ReasonAcceleratorUnsatisfiable}

func accelerators(o client.Object) []string {
	job, ok := o.(*v1alpha1.TrainingJob)
	if !ok || job.Status.CompletionTime != nil {
		return nil
	}
	var named []string
	for _, role := range job.Spec.Roles {
		if role.Accelerator != nil && !slices.Contains(named, role.Accelerator.Name) {
			named = append(named, role.Accelerator.Name)
		}
	}
	for _, c := range job.Status.Conditions {
		if c.Type == v1alpha1.ConditionScheduled && slices.Contains(elsewhere, c.Reason) {
			named = append(named, AnyAccelerator)
		}
	}
	return named
}

// notebookAccelerators does so for notebooks; the field has the same name.
func notebookAccelerators(o client.Object) []string {
	nb, ok := o.(*v1alpha1.Notebook)
	if !ok || nb.Spec.Accelerator == nil {
		return nil
	}
	named := []string{nb.Spec.Accelerator.Name}
	for _, c := range nb.Status.Conditions {
		if c.Type == v1alpha1.ConditionScheduled && slices.Contains(elsewhere, c.Reason) {
			named = append(named, AnyAccelerator)
		}
	}
	return named
}

func devices(o client.Object) []string {
	p, ok := o.(*corev1.Pod)
	if !ok || !accelerator.Holds(p) {
		return nil
	}
	return accelerator.Resources(p)
}

func asksForDefaults(o client.Object) []string {
	if o.GetLabels()[names.PodDefaults] != "true" || o.GetLabels()[names.ManagedBy] == names.Manager {
		return nil
	}
	return []string{Yes}
}

func holdsNodes(o client.Object) []string {
	job, ok := o.(*v1alpha1.TrainingJob)
	if !ok || job.Status.Gang == nil || job.Status.Gang.Placed == 0 || job.Status.Gang.Placed >= job.Status.Gang.MinMember {
		return nil
	}
	return []string{Yes}
}
