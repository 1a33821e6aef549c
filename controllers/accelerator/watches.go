// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/accelerator"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/health"
)

// pace is how long events are gathered before the devices are counted again.
const pace = time.Second

// Options are what can be set.
type Options struct {
	// Concurrency is how many Accelerators are worked on at once.
	Concurrency int
	// Healing is what nodes are judged by, and whether they may be cordoned.
	Healing health.Policy
}

// Setup adds the kind to a manager. Nodes must be indexed by index.UnwellNode.
func Setup(mgr ctrl.Manager, deps engine.Deps, opts Options) error {
	asked := finder{mgr.GetClient()}
	watches := func(b *builder.Builder) *builder.Builder {
		b = b.Watches(&corev1.Node{}, gathered(asked.every), builder.WithPredicates(nodes)).
			Watches(&corev1.Pod{}, gathered(asked.of), builder.WithPredicates(holders))
		if opts.Healing.Cordon {
			b = b.Watches(&v1alpha1.TrainingJob{}, gathered(asked.every), builder.WithPredicates(judgements)).
				Watches(&v1alpha1.Accelerator{}, gathered(asked.every), builder.WithPredicates(departures))
		}
		for _, kind := range Optional {
			b = b.WatchesRawSource(deps.Optional.Source(kind, gathered(asked.claiming), func(ctx context.Context) []reconcile.Request {
				return asked.claiming(ctx, nil)
			}))
		}
		return b
	}
	return engine.Register(mgr, engine.New(Name, Kind(deps.Optional, opts.Healing), deps), watches, controller.Options{MaxConcurrentReconciles: opts.Concurrency})
}

// gathered wakes what is found a while later, and once for all events until then.
func gathered(find handler.MapFunc) handler.EventHandler { return engine.Gathered(find, pace) }

// finder finds the Accelerators that something is news for.
type finder struct{ client.Reader }

func (f finder) every(ctx context.Context, _ client.Object) []reconcile.Request {
	return f.those(ctx, func(*v1alpha1.Accelerator) bool { return true })
}

// of finds those whose extended resource a pod holds.
func (f finder) of(ctx context.Context, o client.Object) []reconcile.Request {
	held := accelerator.Resources(o.(*corev1.Pod))
	return f.those(ctx, func(a *v1alpha1.Accelerator) bool { return slices.Contains(held, a.Spec.Resource) })
}

// claiming finds those of device classes.
func (f finder) claiming(ctx context.Context, _ client.Object) []reconcile.Request {
	return f.those(ctx, func(a *v1alpha1.Accelerator) bool { return a.Spec.DeviceClass != nil })
}

func (f finder) those(ctx context.Context, ask func(*v1alpha1.Accelerator) bool) []reconcile.Request {
	var all v1alpha1.AcceleratorList
	if f.List(ctx, &all, client.UnsafeDisableDeepCopy) != nil {
		return nil // the cache is stopping
	}
	var found []reconcile.Request
	for i := range all.Items {
		if ask(&all.Items[i]) {
			found = append(found, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
		}
	}
	return found
}

// nodes lets through changes of what a node has and whether it takes pods.
var nodes = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	old, now := e.ObjectOld.(*corev1.Node), e.ObjectNew.(*corev1.Node)
	same := equality.Semantic.DeepEqual
	return !same(old.Labels, now.Labels) || !same(old.Spec, now.Spec) || !same(old.Status, now.Status)
}}

// judgements lets through jobs that hold something else against nodes than before.
var judgements = predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool { return len(held(e.Object)) > 0 },
	DeleteFunc: func(e event.DeleteEvent) bool { return len(held(e.Object)) > 0 },
	UpdateFunc: func(e event.UpdateEvent) bool {
		return !equality.Semantic.DeepEqual(held(e.ObjectOld), held(e.ObjectNew))
	},
	GenericFunc: func(event.GenericEvent) bool { return false },
}

func held(o client.Object) []v1alpha1.JudgedNode { return o.(*v1alpha1.TrainingJob).Status.Nodes }

// departures lets through Accelerators that go: others look after the nodes that were cordoned for them.
var departures = predicate.Funcs{
	CreateFunc:  func(event.CreateEvent) bool { return false },
	UpdateFunc:  func(event.UpdateEvent) bool { return false },
	GenericFunc: func(event.GenericEvent) bool { return false },
}

// holders lets through pods that come to hold devices, or hold them no more, or whose devices break or mend.
var holders = predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool { return holds(e.Object) },
	DeleteFunc: func(e event.DeleteEvent) bool { return holds(e.Object) },
	UpdateFunc: func(e event.UpdateEvent) bool {
		old, now := e.ObjectOld.(*corev1.Pod), e.ObjectNew.(*corev1.Pod)
		if len(accelerator.Resources(now)) == 0 {
			return false
		}
		return accelerator.Holds(old) != accelerator.Holds(now) || !equality.Semantic.DeepEqual(told(old), told(now))
	},
	GenericFunc: func(event.GenericEvent) bool { return false },
}

func holds(o client.Object) bool {
	p := o.(*corev1.Pod)
	return accelerator.Holds(p) && len(accelerator.Resources(p)) > 0
}

// told is what the kubelet says of the devices of a pod.
func told(p *corev1.Pod) []corev1.ResourceStatus {
	var all []corev1.ResourceStatus
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		all = append(all, c.AllocatedResourcesStatus...)
	}
	return all
}
