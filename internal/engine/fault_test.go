// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/faulty"
)

type set struct{ pods []corev1.Pod }

// podSet keeps a ConfigMap and three pods, which it replaces when they have failed, as long as the ConfigMap is there.
func podSet() engine.Kind[*v1alpha1.TrainingJob, set] {
	return engine.Kind[*v1alpha1.TrainingJob, set]{
		Observe: func(ctx context.Context, c client.Reader, o *v1alpha1.TrainingJob) (set, error) {
			var pods corev1.PodList
			err := c.List(ctx, &pods, client.InNamespace(o.Namespace))
			return set{pods.Items}, err
		},
		Plan: func(_ *v1alpha1.TrainingJob, w set, _ time.Time) engine.Plan {
			plan := engine.Plan{Apply: []engine.Object{&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings"}, Data: map[string]string{"a": "b"}}}}
			there := map[string]bool{}
			for i := range w.pods {
				there[w.pods[i].Name] = true
				if w.pods[i].Status.Phase == corev1.PodFailed {
					plan.Delete = append(plan.Delete, engine.Step{Object: &w.pods[i]})
				}
			}
			for i := range 3 {
				if name := fmt.Sprintf("p-%d", i); !there[name] {
					plan.Create = append(plan.Create, engine.Step{Object: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}}})
				}
			}
			return plan
		},
		Report: func(o *v1alpha1.TrainingJob, w set, _ time.Time) {
			running := metav1.Condition{Type: "Running", Status: metav1.ConditionFalse, Reason: "Waiting"}
			if len(w.pods) == 3 {
				running.Status, running.Reason = metav1.ConditionTrue, "AllThere"
			}
			o.SetConditions([]metav1.Condition{running})
		},
	}
}

// failOnce fails the first incarnation of one pod.
func failOnce(ctx context.Context, c client.Client) (bool, error) {
	owner, pod := &v1alpha1.TrainingJob{}, &corev1.Pod{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: "ns", Name: "toy"}, owner); err != nil {
		return false, err
	}
	err := c.Get(ctx, client.ObjectKey{Namespace: "ns", Name: "p-1"}, pod)
	if err != nil || owner.Annotations["failed"] != "" {
		return false, client.IgnoreNotFound(err)
	}
	owner.Annotations = map[string]string{"failed": "p-1"}
	if err := c.Update(ctx, owner); err != nil {
		return false, err
	}
	pod.Status.Phase = corev1.PodFailed
	return true, c.Status().Update(ctx, pod)
}

func TestAnyFaultBetweenAnyTwoWritesChangesNothing(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	faulty.Run(t, faulty.Scenario{
		Scheme:  scheme,
		Kinds:   []client.ObjectList{&v1alpha1.TrainingJobList{}, &corev1.PodList{}, &corev1.ConfigMapList{}},
		Objects: []client.Object{&v1alpha1.TrainingJob{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "toy", Generation: 1}}},
		Start: func(c client.Client, live client.Reader, now clock.PassiveClock) faulty.Pass {
			deps := engine.Deps{Client: c, Live: live, Recorder: events.NewFakeRecorder(1000), Clock: now}
			r := engine.New("Toy", podSet(), deps).ByName()
			return func(ctx context.Context) (ctrl.Result, error) {
				return r.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKey{Namespace: "ns", Name: "toy"}})
			}
		},
		Others: failOnce,
	})
}
