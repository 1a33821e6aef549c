// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/health"
	"github.com/millrace-ml/millrace/internal/index"
)

// Name is the kind's name.
const Name = "Accelerator"

// The kinds of dynamic resource allocation.
var (
	classes = resourcev1.SchemeGroupVersion.WithKind("DeviceClass")
	parts   = resourcev1.SchemeGroupVersion.WithKind("ResourceSlice")
	claims  = resourcev1.SchemeGroupVersion.WithKind("ResourceClaim")
)

// Optional are the kinds of optional APIs that devices are counted by where the cluster offers them.
var Optional = []schema.GroupVersionKind{classes, parts, claims}

// notCordoned are the reasons for which bad nodes are not cordoned.
var notCordoned = []string{v1alpha1.ReasonCordonLimit, v1alpha1.ReasonCordonForbidden}

// Kind is the Accelerator as the engine runs it, in a cluster with these offers; nil stands for none. Nodes are judged by
// a policy, where it lets them be cordoned.
func Kind(offers engine.Offers, healing health.Policy) engine.Kind[*v1alpha1.Accelerator, World] {
	known := &memory{choices: map[string]*choice{}}
	return engine.Kind[*v1alpha1.Accelerator, World]{
		Observe: observer{offers, newChooser(), known, healing}.observe, Gone: known.forget, Plan: Plan, Report: Report, Refuse: Refuse, CanWait: canWait, Tally: cordons,
		Announce: []engine.Announcement{
			{Condition: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Type: corev1.EventTypeWarning},
			{Condition: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Type: corev1.EventTypeNormal},
			{Condition: v1alpha1.ConditionDevicesHealthy, Status: metav1.ConditionFalse, Type: corev1.EventTypeWarning},
			{Condition: v1alpha1.ConditionNodesCordoned, Status: metav1.ConditionTrue, Type: corev1.EventTypeWarning},
			{Condition: v1alpha1.ConditionNodesCordoned, Status: metav1.ConditionFalse, Reasons: notCordoned, Type: corev1.EventTypeWarning},
		},
	}
}

// observer reads what devices are counted from, the kinds of dynamic resource allocation from offers.
type observer struct {
	offers engine.Offers
	chooser
	*memory
	healing health.Policy
}

func (o observer) observe(ctx context.Context, c client.Reader, a *v1alpha1.Accelerator) (World, error) {
	var nodes corev1.NodeList
	if err := c.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return World{}, err
	}
	w := World{Nodes: nodes.Items, Healing: o.healing}
	if err := w.judge(ctx, c, a.Name); err != nil {
		return World{}, err
	}
	if a.Spec.DeviceClass != nil {
		err := o.allocation(ctx, a, &w)
		return w, err
	}
	var pods corev1.PodList
	err := c.List(ctx, &pods, client.MatchingFields{index.Devices: a.Spec.Resource}, client.UnsafeDisableDeepCopy)
	w.Pods = pods.Items
	return w, err
}

// judge reads what there is against nodes, where that can have consequences.
func (w *World) judge(ctx context.Context, c client.Reader, self string) error {
	if !w.Healing.Cordon {
		return nil
	}
	var unwell corev1.NodeList
	var jobs v1alpha1.TrainingJobList
	var others v1alpha1.AcceleratorList
	if err := errors.Join(
		c.List(ctx, &unwell, client.MatchingFields{index.UnwellNode: "true"}, client.UnsafeDisableDeepCopy),
		c.List(ctx, &jobs, client.MatchingFields{index.JudgedNode: index.AnyNode}, client.UnsafeDisableDeepCopy),
		c.List(ctx, &others, client.UnsafeDisableDeepCopy),
	); err != nil {
		return err
	}
	w.Common, w.Unwell, w.Judged = health.Common(unwell.Items, len(w.Nodes), w.Healing), map[string]bool{}, map[string][]v1alpha1.JudgedNode{}
	for i := range unwell.Items {
		w.Unwell[unwell.Items[i].Name] = true
	}
	for i := range jobs.Items {
		for _, held := range jobs.Items[i].Status.Nodes {
			w.Judged[held.Name] = append(w.Judged[held.Name], held)
		}
	}
	for i := range others.Items {
		if name := others.Items[i].Name; name != self {
			w.Others = append(w.Others, name)
		}
	}
	return nil
}

// allocation reads the devices of a class, and what holds them.
func (o observer) allocation(ctx context.Context, a *v1alpha1.Accelerator, w *World) error {
	missing := func(kind schema.GroupVersionKind) bool { return !o.offers.Serves(kind) }
	if o.offers == nil || slices.ContainsFunc(Optional, missing) {
		return nil
	}
	w.Served = true
	class := engine.Blank(classes)
	err := o.offers.Get(ctx, client.ObjectKey{Name: a.Spec.DeviceClass.Name}, class)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	w.Found = true
	var typed resourcev1.DeviceClass
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(class.Object, &typed); err != nil {
		return fmt.Errorf("reading DeviceClass %s: %w", class.GetName(), err)
	}
	return o.devices(ctx, a, &typed, w)
}

func (o observer) devices(ctx context.Context, a *v1alpha1.Accelerator, class *resourcev1.DeviceClass, w *World) error {
	of := expressions(class)
	selectors, wrong := o.compile("DeviceClass "+class.Name+": spec.selectors", of)
	more, wrongToo := o.compile("spec.deviceClass.selectors", a.Spec.DeviceClass.Selectors)
	if w.Wrong = wrong + wrongToo; w.Wrong != "" {
		return nil
	}
	selectors = slices.Concat(selectors, more)
	chosen, err := o.choice(a.Name, slices.Concat(of, a.Spec.DeviceClass.Selectors)).of(ctx, o.offers, selectors)
	if err != nil {
		return err
	}
	w.Devices = newest(chosen)
	held, err := list(ctx, o.offers, claims)
	if err != nil {
		return err
	}
	w.Claims, err = o.claims.all(held, holding)
	return err
}

// list reads all objects of an optional kind. They are those of the cache.
func list(ctx context.Context, from client.Reader, kind schema.GroupVersionKind) ([]unstructured.Unstructured, error) {
	var found unstructured.UnstructuredList
	found.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	err := from.List(ctx, &found, client.UnsafeDisableDeepCopy)
	return found.Items, err
}
