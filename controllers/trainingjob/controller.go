// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/gang"
	"github.com/millrace-ml/millrace/internal/health"
	"github.com/millrace-ml/millrace/internal/index"
)

// Name is the kind's name.
const Name = "TrainingJob"

// Kind is the TrainingJob as the engine runs it, in a cluster with these offers; nil stands for none.
func Kind(offers engine.Offers) engine.Kind[*v1alpha1.TrainingJob, World] {
	return kindOf(observer{offers: offers, healing: health.Default()})
}

func kindOf(o observer) engine.Kind[*v1alpha1.TrainingJob, World] {
	return engine.Kind[*v1alpha1.TrainingJob, World]{
		Observe: o.observe, Hurries: succeeded, Tally: replacements, Plan: Plan, Report: Report, Refuse: Refuse, CanWait: canWait,
		Ours: ours, Mint: mint, Foresee: foresee, Measure: measure, Unwatched: []client.Object{&corev1.Secret{}, &resourcev1.ResourceClaimTemplate{}},
		Announce: []engine.Announcement{
			{Condition: v1alpha1.ConditionAccepted, Status: no, Type: corev1.EventTypeWarning},
			{Condition: v1alpha1.ConditionScheduled, Status: no, Type: corev1.EventTypeWarning},
			{Condition: v1alpha1.ConditionRunning, Status: no, Reasons: []string{v1alpha1.ReasonPodCannotStart}, Type: corev1.EventTypeWarning},
			{Condition: v1alpha1.ConditionRunning, Status: yes, Type: corev1.EventTypeNormal},
			{Condition: v1alpha1.ConditionRestarting, Status: yes, Type: corev1.EventTypeWarning},
			{Condition: v1alpha1.ConditionSuspended, Status: yes, Type: corev1.EventTypeNormal},
			{Condition: v1alpha1.ConditionSucceeded, Status: yes, Type: corev1.EventTypeNormal},
			{Condition: v1alpha1.ConditionSucceeded, Status: no, Type: corev1.EventTypeWarning},
		},
	}
}

// Manager is the value of spec.managedBy by which a job is ours.
const Manager = v1alpha1.Group + "/manager"

// ours is false for a job that another controller runs, such as MultiKueue in another cluster.
func ours(job *v1alpha1.TrainingJob) bool {
	return job.Spec.ManagedBy == "" || job.Spec.ManagedBy == Manager
}

// observer reads what jobs are decided from, of optional kinds from offers; gangs are the manager's settings. Nodes are judged by
// a policy.
type observer struct {
	offers  engine.Offers
	gangs   gang.Settings
	healing health.Policy
}

// served are the optional kinds that the cluster offers now.
func (o observer) served() []schema.GroupVersionKind {
	if o.offers == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(Optional), func(kind schema.GroupVersionKind) bool { return !o.offers.Serves(kind) })
}

// observe reads the pods of a job from the cache, what the kubelet says of those that do not start, and whether it is there for
// those that are to end.
func (o observer) observe(ctx context.Context, c client.Reader, job *v1alpha1.TrainingJob) (World, error) {
	var pods corev1.PodList
	err := c.List(ctx, &pods, client.InNamespace(job.Namespace), client.MatchingFields{index.OwnerUID: string(job.UID)})
	if err != nil {
		return World{}, err
	}
	world := World{Pods: pods.Items, Served: o.served(), Gangs: o.gangs, Healing: o.healing}
	if world.Queue, err = o.queue(ctx, c, job); err != nil {
		return World{}, err
	}
	if world.Accelerators, err = accelerators(ctx, c, job); err != nil {
		return World{}, err
	}
	if !ended(job) {
		if world.PodDefaults, err = podDefaults(ctx, c, job); err != nil {
			return World{}, err
		}
		if err := errors.Join(world.observeNodes(ctx, c), world.observeDeviceTaints(ctx, o.offers)); err != nil {
			return World{}, err
		}
	}
	for i := range pods.Items {
		if err := world.observe(ctx, c, &pods.Items[i]); err != nil {
			return World{}, err
		}
	}
	err = o.observeGang(ctx, c, job, &world)
	return world, err
}

func (w *World) observe(ctx context.Context, c client.Reader, p *corev1.Pod) error {
	if awaitsVolumes(p) {
		var events corev1.EventList
		err := c.List(ctx, &events, client.InNamespace(p.Namespace), client.MatchingFields{index.InvolvedUID: string(p.UID)})
		if err != nil {
			return err
		}
		w.Events = append(w.Events, events.Items...)
	}
	if node := p.Spec.NodeName; terminating(p) && node != "" && !slices.Contains(w.Silent, node) {
		answers, err := answers(ctx, c, node)
		if err != nil {
			return err
		}
		if !answers {
			w.Silent = append(w.Silent, node)
		}
	}
	return nil
}

// answers is true for a node whose kubelet may be alive. One that says it is not ready is.
func answers(ctx context.Context, c client.Reader, name string) (bool, error) {
	var node corev1.Node
	if err := c.Get(ctx, client.ObjectKey{Name: name}, &node); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	silent := slices.ContainsFunc(node.Status.Conditions, func(cond corev1.NodeCondition) bool {
		return cond.Type == corev1.NodeReady && cond.Status == corev1.ConditionUnknown
	})
	out := slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeOutOfService })
	return !silent && !out, nil
}

// measure lists how long a job took, from its creation, to its first pod, to all of them running, and to its end.
func measure(before, after *v1alpha1.TrainingJob) []engine.Duration {
	var all []engine.Duration
	for _, step := range []struct {
		name     string
		old, now *metav1.Time
	}{
		{"started", before.Status.StartTime, after.Status.StartTime},
		{"running", before.Status.RunningTime, after.Status.RunningTime},
		{"finished", before.Status.CompletionTime, after.Status.CompletionTime},
	} {
		if step.old == nil && step.now != nil && after.Status.Suspensions == 0 && releases(after) == 0 {
			all = append(all, engine.Duration{
				Step: step.name, Variant: string(after.Spec.Framework), Took: step.now.Sub(after.CreationTimestamp.Time),
			})
		}
	}
	return all
}

// steps on a normal way: a status that only takes one of them may be stored together with the next.
var steps = []string{
	v1alpha1.ReasonAccepted, v1alpha1.ReasonNotRestarting, v1alpha1.ReasonNotSuspended, v1alpha1.ReasonHealthy,
	v1alpha1.ReasonCreatingPods, v1alpha1.ReasonWaitingForScheduler, v1alpha1.ReasonAllScheduled, v1alpha1.ReasonPodsStarting,
	v1alpha1.ReasonProgressing, v1alpha1.ReasonWaitingForWorkers, v1alpha1.ReasonAcceleratorPending,
}

// canWait is true when only counts changed, or conditions took a step on the normal way to running.
func canWait(before, after *v1alpha1.TrainingJob) bool {
	changed := before.Status.ObservedGeneration != after.Status.ObservedGeneration
	if changed && before.Status.ObservedGeneration > 0 || recorded(before) != recorded(after) ||
		!equality.Semantic.DeepEqual(before.Status.Nodes, after.Status.Nodes) {
		return false
	}
	for _, c := range after.Status.Conditions {
		i := slices.IndexFunc(before.Status.Conditions, func(old metav1.Condition) bool { return old.Type == c.Type })
		if i < 0 {
			return false
		}
		old := before.Status.Conditions[i]
		changed := old.Status != c.Status || old.Reason != c.Reason
		if changed && !slices.Contains(steps, c.Reason) {
			return false
		}
	}
	return true
}

// Options are what can be set.
type Options struct {
	// Concurrency is how many jobs are worked on at once.
	Concurrency int
	// Gangs are settings of jobs whose pods are placed together.
	Gangs gang.Settings
	// Healing is what nodes are judged by.
	Healing health.Policy
}

// Setup adds the kind to a manager.
func Setup(mgr ctrl.Manager, deps engine.Deps, opts Options) error {
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &corev1.Node{}, index.UnwellNode, UnwellNode(opts.Healing)); err != nil {
		return fmt.Errorf("indexing nodes: %w", err)
	}
	watches := func(b *builder.Builder) *builder.Builder {
		return watchOptional(b, mgr, deps.Optional).Owns(&corev1.Pod{}, builder.WithPredicates(changed)).Owns(&corev1.Service{}).Owns(&corev1.ConfigMap{}).
			Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(jobsOn(mgr.GetClient())), builder.WithPredicates(judged(opts.Healing))).
			Watches(&corev1.Event{}, handler.EnqueueRequestsFromMapFunc(jobOf(mgr.GetClient())), builder.WithPredicates(retold)).
			Watches(&v1alpha1.PodDefault{}, handler.EnqueueRequestsFromMapFunc(jobsClashing(mgr.GetClient())), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
			Watches(&v1alpha1.Accelerator{}, handler.EnqueueRequestsFromMapFunc(jobsAsking(mgr.GetClient())), builder.WithPredicates(decisive))
	}
	kind := kindOf(observer{deps.Optional, opts.Gangs, opts.Healing})
	return engine.Register(mgr, engine.New(Name, kind, deps), watches, controller.Options{MaxConcurrentReconciles: opts.Concurrency})
}

// changed lets through updates of pods in what the cache keeps of them.
var changed = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	old, now := e.ObjectOld.DeepCopyObject().(client.Object), e.ObjectNew
	old.SetResourceVersion(now.GetResourceVersion())
	return !equality.Semantic.DeepEqual(old, now)
}}

// retold lets through events that say something new: the kubelet repeats them, and they expire.
var retold = predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		old, now := e.ObjectOld.(*corev1.Event), e.ObjectNew.(*corev1.Event)
		return old.Message != now.Message
	},
	DeleteFunc: func(event.DeleteEvent) bool { return false },
}

// jobOf finds the job that owns the pod an event is about.
func jobOf(c client.Reader) handler.MapFunc {
	return func(ctx context.Context, o client.Object) []reconcile.Request {
		about := o.(*corev1.Event).InvolvedObject
		var p corev1.Pod
		if about.Kind != "Pod" || c.Get(ctx, client.ObjectKey{Namespace: about.Namespace, Name: about.Name}, &p) != nil {
			return nil // not a pod, or not any more: then there is nothing to say
		}
		ref := metav1.GetControllerOfNoCopy(&p)
		if ref == nil || ref.Kind != Name || ref.APIVersion != v1alpha1.GroupVersion.String() {
			return nil
		}
		return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: p.Namespace, Name: ref.Name}}}
	}
}
