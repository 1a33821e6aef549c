// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/controllers/accelerator"
	"github.com/millrace-ml/millrace/controllers/experiment"
	"github.com/millrace-ml/millrace/controllers/notebook"
	"github.com/millrace-ml/millrace/controllers/poddefault"
	"github.com/millrace-ml/millrace/controllers/profile"
	"github.com/millrace-ml/millrace/controllers/suggestion"
	"github.com/millrace-ml/millrace/controllers/trainingjob"
	"github.com/millrace-ml/millrace/controllers/trial"
	"github.com/millrace-ml/millrace/internal/config"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/health"
	tenants "github.com/millrace-ml/millrace/internal/profile"
	"github.com/millrace-ml/millrace/internal/proposer"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

type ownerReference = metav1.OwnerReference

// planner plans an object as the manager would when it first sees it.
type planner func(ctx context.Context, o *unstructured.Unstructured, now time.Time) (planned, error)

// planned is a plan on paper.
type planned struct {
	children []child
	// rejected is the condition by which the manager refuses the object.
	rejected *metav1.Condition
	// later is the condition that says why the pods are not made at once.
	later *metav1.Condition
	// foreign is true when the object is another controller's to run.
	foreign bool
}

// child is an object the manager would write.
type child struct {
	object *unstructured.Unstructured
	// verb is apply or create.
	verb string
	// owner is the object it is for.
	owner string
}

// planners are the kinds that can be planned: the manager's own, by their own Plan, in a cluster on paper.
func planners(in *paper) map[schema.GroupVersionKind]planner {
	defaults := config.Default()
	return map[schema.GroupVersionKind]planner{
		v1alpha1.GroupVersion.WithKind(trainingjob.Name): plannerOf(in, trainingjob.Kind(in), func() *v1alpha1.TrainingJob { return &v1alpha1.TrainingJob{} }),
		v1alpha1.GroupVersion.WithKind(accelerator.Name): plannerOf(in, accelerator.Kind(in, health.Default()), func() *v1alpha1.Accelerator { return &v1alpha1.Accelerator{} }),
		v1alpha1.GroupVersion.WithKind(poddefault.Name):  plannerOf(in, poddefault.Kind(in), func() *v1alpha1.PodDefault { return &v1alpha1.PodDefault{} }),
		v1alpha1.GroupVersion.WithKind(profile.Name):     plannerOf(in, profile.Kind(in, tenants.Default()), func() *v1alpha1.Profile { return &v1alpha1.Profile{} }),
		v1alpha1.GroupVersion.WithKind(experiment.Name): plannerOf(in, experiment.Kind(experiment.Outside{Proposer: proposer.AtOnce{}, Live: in}),
			func() *v1alpha1.Experiment { return &v1alpha1.Experiment{} }),
		v1alpha1.GroupVersion.WithKind(suggestion.Name): plannerOf(in, suggestion.Kind(suggestion.Outside{Proposer: proposer.AtOnce{}}),
			func() *v1alpha1.Suggestion { return &v1alpha1.Suggestion{} }),
		v1alpha1.GroupVersion.WithKind(notebook.Name): plannerOf(in, notebook.Kind(in, defaults.Notebooks()), func() *v1alpha1.Notebook { return &v1alpha1.Notebook{} }),
		v1alpha1.GroupVersion.WithKind(trial.Name): plannerOf(in, trial.Kind(trial.Outside{Jobs: in, Live: in, Server: trialjob.Server{
			Namespace: "millrace-system", Launcher: "docker.io/millrace/manager:dev",
		}}), func() *v1alpha1.Trial { return &v1alpha1.Trial{} }),
	}
}

// plannerOf plans with a kind's own functions, in a cluster that holds nothing yet but what is on paper.
func plannerOf[T engine.Owner, W any](in *paper, kind engine.Kind[T, W], fresh func() T) planner {
	return func(ctx context.Context, o *unstructured.Unstructured, now time.Time) (planned, error) {
		owner := fresh()
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, owner); err != nil {
			return planned{}, fmt.Errorf("reading the object: %w", err)
		}
		owner.SetCreationTimestamp(metav1.NewTime(now))
		if kind.Ours != nil && !kind.Ours(owner) {
			return planned{foreign: true}, nil
		}
		empty, err := kind.Observe(ctx, in, owner)
		if err != nil {
			return planned{}, err
		}
		reported, ok := owner.DeepCopyObject().(T)
		if !ok {
			return planned{}, fmt.Errorf("copying %T", owner)
		}
		kind.Report(reported, empty, now)
		accepted := meta.FindStatusCondition(reported.GetConditions(), v1alpha1.ConditionAccepted)
		if accepted != nil && accepted.Status == metav1.ConditionFalse {
			return planned{rejected: accepted}, nil
		}
		answer, err := children(owner, foreseen(kind, owner, empty, now))
		answer.later = postponed(reported.GetConditions())
		return answer, err
	}
}

// postponed is the condition by which pods wait for something outside of the job.
func postponed(conditions []metav1.Condition) *metav1.Condition {
	soon := []string{v1alpha1.ReasonCreatingPods, v1alpha1.ReasonWaitingForWorkers, v1alpha1.ReasonSuspended}
	scheduled := meta.FindStatusCondition(conditions, v1alpha1.ConditionScheduled)
	if scheduled == nil || slices.Contains(soon, scheduled.Reason) {
		return nil
	}
	return scheduled
}

// foreseen is everything a kind creates for an owner: some of it, such as a launcher, only when the rest is up.
func foreseen[T engine.Owner, W any](kind engine.Kind[T, W], owner T, world W, now time.Time) engine.Plan {
	plan := kind.Plan(owner, world, now)
	if kind.Foresee == nil {
		return plan
	}
	for next, known := plan, -1; known < len(plan.Create); {
		known = len(plan.Create)
		world = kind.Foresee(world, next)
		next = kind.Plan(owner, world, now)
		plan.Apply, plan.Create = next.Apply, merge(plan.Create, next.Create)
	}
	return plan
}

// merge adds the steps whose objects are not among the others.
func merge(steps, more []engine.Step) []engine.Step {
	for _, s := range more {
		known := slices.ContainsFunc(steps, func(old engine.Step) bool {
			return old.Object.GetName() == s.Object.GetName() && reflect.TypeOf(old.Object) == reflect.TypeOf(s.Object)
		})
		if !known {
			steps = append(steps, s)
		}
	}
	return steps
}

// children lists what a plan writes, in the order the engine does.
func children(owner engine.Owner, plan engine.Plan) (planned, error) {
	scheme, err := newScheme()
	if err != nil {
		return planned{}, err
	}
	if err := engine.Own(owner, plan, scheme); err != nil {
		return planned{}, err
	}
	var found planned
	add := func(o engine.Object, verb string) error {
		content, err := intent(o)
		if err != nil {
			return err
		}
		found.children = append(found.children, child{
			object: &unstructured.Unstructured{Object: content}, verb: verb,
			owner: owner.GetObjectKind().GroupVersionKind().Kind + "/" + owner.GetName(),
		})
		return nil
	}
	for _, o := range plan.Apply {
		if err := add(o, "apply"); err != nil {
			return planned{}, err
		}
	}
	for _, step := range plan.Create {
		if err := add(step.Object, "create"); err != nil {
			return planned{}, err
		}
	}
	return found, nil
}
