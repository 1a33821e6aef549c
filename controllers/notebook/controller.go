// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"context"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/index"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/notebookpod"
	"github.com/millrace-ml/millrace/internal/route"
)

// Name is the kind's name.
const Name = "Notebook"

// Optional are the kinds of optional APIs that notebooks make use of where the cluster offers them.
var Optional = append(route.Kinds(), snapshotKind)

// Kind is the Notebook as the engine runs it, in a cluster with these offers; nil stands for none.
func Kind(offers engine.Offers, settings Settings) engine.Kind[*v1alpha1.Notebook, World] {
	return kindOf(observer{offers: offers, settings: settings})
}

func kindOf(o observer) engine.Kind[*v1alpha1.Notebook, World] {
	return engine.Kind[*v1alpha1.Notebook, World]{
		Observe: o.observe, Plan: Plan, Report: Report, Refuse: Refuse, CanWait: canWait,
		Unwatched: []client.Object{&resourcev1.ResourceClaimTemplate{}},
		Measure:   measure, Tally: tally,
		Announce: []engine.Announcement{
			{Condition: v1alpha1.ConditionAccepted, Status: no, Type: corev1.EventTypeWarning},
			{Condition: v1alpha1.ConditionScheduled, Status: no, Type: corev1.EventTypeWarning},
			{Condition: v1alpha1.ConditionRunning, Status: no, Reasons: failed, Type: corev1.EventTypeWarning},
			{Condition: v1alpha1.ConditionRunning, Status: yes, Type: corev1.EventTypeNormal},
			{Condition: v1alpha1.ConditionStopped, Status: yes, Type: corev1.EventTypeNormal},
			{Condition: v1alpha1.ConditionUpToDate, Status: no, Type: corev1.EventTypeNormal},
		},
	}
}

// asked is what a fact about use is known by: a notebook.
type asked = types.NamespacedName

// observer reads what notebooks are decided from: optional kinds from offers, events that no cache holds from live, and what servers tell
// of their use from a snapshot. All of these may be nil.
type observer struct {
	offers   engine.Offers
	live     client.Reader
	uses     *engine.Snapshot[asked, Activity]
	settings Settings
}

func (o observer) observe(ctx context.Context, c client.Reader, nb *v1alpha1.Notebook) (World, error) {
	w := World{Settings: o.settings}
	if a, known := o.known(nb); known {
		w.Activity = &a
	}
	reads := []func(context.Context, client.Reader, *v1alpha1.Notebook, *World) error{
		readSet, readPod, readClaim, readEditor, readAccelerators, readPodDefaults, readTeam, o.readRefusal, o.readOptional,
	}
	for _, read := range reads {
		if err := read(ctx, c, nb, &w); err != nil {
			return World{}, err
		}
	}
	return w, nil
}

func (o observer) known(nb *v1alpha1.Notebook) (Activity, bool) {
	if o.uses == nil {
		return Activity{}, false
	}
	return o.uses.Get(client.ObjectKeyFromObject(nb))
}

// found reads an object that may not be there.
func found[T client.Object](ctx context.Context, c client.Reader, namespace, name string, into T) (T, error) {
	var none T
	err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, into)
	if apierrors.IsNotFound(err) {
		return none, nil
	}
	return into, err
}

func readSet(ctx context.Context, c client.Reader, nb *v1alpha1.Notebook, w *World) error {
	set, err := found(ctx, c, nb.Namespace, nb.Name, &appsv1.StatefulSet{})
	if err == nil && set != nil && engine.Owned(set, nb.UID) {
		w.Set = set
	}
	return err
}

// readPod reads the pod of the StatefulSet, and why its volumes are not there if it waits for them.
func readPod(ctx context.Context, c client.Reader, nb *v1alpha1.Notebook, w *World) error {
	if w.Set == nil {
		return nil
	}
	pod, err := found(ctx, c, nb.Namespace, nb.Name+"-0", &corev1.Pod{})
	if err != nil || pod == nil || !engine.Owned(pod, w.Set.UID) {
		return err
	}
	w.Pod = pod
	if pod.Status.Phase != corev1.PodPending || pod.Spec.NodeName == "" {
		return nil
	}
	var events corev1.EventList
	err = c.List(ctx, &events, client.InNamespace(nb.Namespace), client.MatchingFields{index.InvolvedUID: string(pod.UID)})
	w.Unmounted = newest(events.Items)
	return err
}

// newest is the message of the newest of some events.
func newest(events []corev1.Event) string {
	if len(events) == 0 {
		return ""
	}
	last := slices.MaxFunc(events, func(a, b corev1.Event) int { return a.LastTimestamp.Compare(b.LastTimestamp.Time) })
	return last.Message
}

func readClaim(ctx context.Context, c client.Reader, nb *v1alpha1.Notebook, w *World) error {
	if nb.Spec.Workspace == nil || nb.Spec.Workspace.Size == nil {
		return nil
	}
	claim, err := found(ctx, c, nb.Namespace, names.WorkspaceClaim(nb.Name), &corev1.PersistentVolumeClaim{})
	w.Claim = claim
	return err
}

func readEditor(ctx context.Context, c client.Reader, nb *v1alpha1.Notebook, w *World) error {
	account, err := found(ctx, c, nb.Namespace, notebookpod.Editor, &corev1.ServiceAccount{})
	w.Editor = account != nil
	return err
}

// readAccelerators reads all of them for a notebook that names one: what is there instead is part of the answer.
func readAccelerators(ctx context.Context, c client.Reader, nb *v1alpha1.Notebook, w *World) error {
	if nb.Spec.Accelerator == nil {
		return nil
	}
	var all v1alpha1.AcceleratorList
	err := c.List(ctx, &all, client.UnsafeDisableDeepCopy)
	w.Accelerators = all.Items
	return err
}

func readPodDefaults(ctx context.Context, c client.Reader, nb *v1alpha1.Notebook, w *World) error {
	var all v1alpha1.PodDefaultList
	err := c.List(ctx, &all, client.InNamespace(nb.Namespace), client.UnsafeDisableDeepCopy)
	w.PodDefaults = all.Items
	return err
}

func readTeam(ctx context.Context, c client.Reader, nb *v1alpha1.Notebook, w *World) (err error) {
	w.Team, err = teamOf(ctx, c, nb.Namespace)
	return err
}

// teamOf is what the Profile of a namespace says of culling. One whose namespace it is not has no say.
func teamOf(ctx context.Context, c client.Reader, namespace string) (*v1alpha1.ProfileCulling, error) {
	var p v1alpha1.Profile
	err := c.Get(ctx, client.ObjectKey{Name: namespace}, &p, client.UnsafeDisableDeepCopy)
	if err != nil || p.Status.Namespace != namespace || p.Spec.Notebooks == nil {
		return nil, client.IgnoreNotFound(err)
	}
	return p.Spec.Notebooks.Culling, nil
}

// readRefusal asks the API server why the pod is not there: only an event of the StatefulSet tells, and all events would be too many to
// keep. It is a request, but of a notebook that waits.
func (o observer) readRefusal(ctx context.Context, _ client.Reader, nb *v1alpha1.Notebook, w *World) error {
	waits := w.Set != nil && w.Pod == nil && w.Set.Status.ObservedGeneration > 0 && stopOf(nb) == nil
	if o.live == nil || !waits {
		return nil
	}
	var events corev1.EventList
	err := o.live.List(ctx, &events, client.InNamespace(nb.Namespace), client.MatchingFields{
		index.InvolvedUID: string(w.Set.UID), "reason": "FailedCreate",
	})
	w.Refused = newest(events.Items)
	return err
}

// readOptional reads the routes and snapshots of the notebook.
func (o observer) readOptional(ctx context.Context, _ client.Reader, nb *v1alpha1.Notebook, w *World) error {
	if o.offers == nil {
		return nil
	}
	for _, kind := range Optional {
		if !o.offers.Serves(kind) {
			continue
		}
		w.Served = append(w.Served, kind)
		mine, err := o.mine(ctx, nb, kind)
		if err != nil {
			return err
		}
		if kind == snapshotKind {
			w.Snapshots = mine
		} else {
			w.Routes = append(w.Routes, mine...)
		}
	}
	return nil
}

// mine are the objects of an optional kind that the notebook owns.
func (o observer) mine(ctx context.Context, nb *v1alpha1.Notebook, kind schema.GroupVersionKind) ([]unstructured.Unstructured, error) {
	var all unstructured.UnstructuredList
	all.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	err := o.offers.List(ctx, &all, client.InNamespace(nb.Namespace), client.MatchingLabels{names.Notebook: nb.Name})
	return slices.DeleteFunc(all.Items, func(u unstructured.Unstructured) bool { return !engine.Owned(&u, nb.UID) }), err
}

// measure is how long it took from the creation of a notebook to its server being up for the first time.
func measure(before, after *v1alpha1.Notebook) []engine.Duration {
	if before.Status.RunningTime != nil || after.Status.RunningTime == nil {
		return nil
	}
	return []engine.Duration{{Step: "running", Variant: string(after.Spec.Server), Took: after.Status.RunningTime.Sub(after.CreationTimestamp.Time)}}
}

// tally counts what stops notebooks.
func tally(before, after *v1alpha1.Notebook) []engine.Count {
	was, is := stoppedBy(before), stoppedBy(after)
	if is == "" || is == was {
		return nil
	}
	return []engine.Count{{What: "stopped", Variant: is, Times: 1}}
}

func stoppedBy(nb *v1alpha1.Notebook) string {
	for _, c := range nb.Status.Conditions {
		if c.Type == v1alpha1.ConditionStopped && c.Status == yes {
			return c.Reason
		}
	}
	return ""
}
