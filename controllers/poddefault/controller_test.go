// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package poddefault

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/envtest"
	"github.com/millrace-ml/millrace/internal/index"
)

func TestWorkloadsAreToldAndSteadyStateIsSilent(t *testing.T) {
	c := newCourt(t)
	config, requests := envtest.Start(t).Counted()
	counted, err := client.NewWithWatch(config, client.Options{Scheme: c.Scheme()})
	c.must(err)
	// Reads are a cache's in a manager, and cost no request; so is the index on pods.
	cached := interceptor.NewClient(counted, interceptor.Funcs{
		List: func(ctx context.Context, _ client.WithWatch, list client.ObjectList, _ ...client.ListOption) error {
			err := c.List(ctx, list, client.InNamespace(c.namespace))
			if pods, ok := list.(*corev1.PodList); ok {
				pods.Items = asking(pods.Items)
			}
			return err
		},
	})
	clock := testclock.NewFakePassiveClock(time.Now())
	run := engine.New(Name, Kind(nil), engine.Deps{Client: cached, Live: c, Recorder: events.NewFakeRecorder(100), Clock: clock})
	d := &v1alpha1.PodDefault{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "d"}, Spec: v1alpha1.PodDefaultSpec{
		Selector: &metav1.LabelSelector{}, Env: []corev1.EnvVar{{Name: "LEVEL", Value: "debug"}}, ConflictPolicy: v1alpha1.ConflictKeepExisting,
	}}
	c.must(c.Create(t.Context(), d))
	if len(d.Status.Conditions) != 5 {
		t.Errorf("want every condition from the start, got %+v", d.Status.Conditions)
	}
	pass := func() int {
		t.Helper()
		c.must(c.Get(t.Context(), client.ObjectKeyFromObject(d), d))
		requests.Reset()
		_, err := run.Reconcile(t.Context(), d.DeepCopy())
		c.must(err)
		return len(requests.Requests())
	}
	pass()
	c.must(c.Create(t.Context(), asks(pod(c.namespace), "s3", "yes")))
	c.must(c.Create(t.Context(), &v1alpha1.TrainingJob{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "job"}, Spec: v1alpha1.TrainingJobSpec{
		Framework: v1alpha1.PyTorch, Roles: []v1alpha1.Role{{Name: "Worker", Template: corev1.PodTemplateSpec{Spec: pod("").Spec}}},
	}}))
	c.must(c.Create(t.Context(), &v1alpha1.Notebook{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "lab"}, Spec: v1alpha1.NotebookSpec{Image: "i"}}))
	if sent := pass(); sent != 0 {
		t.Errorf("numbers cost %d requests at once, want none, and a later one", sent)
	}
	clock.SetTime(clock.Now().Add(time.Minute))
	if sent := pass(); sent != 1 {
		t.Errorf("want one patch, got %v", requests.Total())
	}
	c.must(c.Get(t.Context(), client.ObjectKeyFromObject(d), d))
	if *d.Status.Matched != 2 || *d.Status.OtherPods != 1 {
		t.Errorf("the status is %+v", d.Status)
	}
	clock.SetTime(clock.Now().Add(time.Hour))
	if sent := pass(); sent != 0 {
		t.Errorf("a pass in steady state sends %v", requests.Total())
	}
}

func asking(all []corev1.Pod) []corev1.Pod {
	var found []corev1.Pod
	for i := range all {
		if len(index.Values(index.AsksForDefaults)(&all[i])) > 0 {
			found = append(found, all[i])
		}
	}
	return found
}

func TestOnlyPodsThatAskWakeAnything(t *testing.T) {
	if others.Create(event.CreateEvent{Object: pod("ns")}) {
		t.Error("a pod that does not ask wakes something")
	}
	asked := asks(pod("ns"), "s3", "yes")
	if !others.Create(event.CreateEvent{Object: asked}) || !others.Delete(event.DeleteEvent{Object: asked}) {
		t.Error("a pod that asks wakes nothing")
	}
	later := asked.DeepCopy()
	later.Status.Phase = corev1.PodRunning
	if others.Update(event.UpdateEvent{ObjectOld: asked, ObjectNew: later}) {
		t.Error("a pod that starts wakes something")
	}
}
