// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/controllers/trainingjob"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/faulty"
	"github.com/millrace-ml/millrace/internal/index"
	"github.com/millrace-ml/millrace/internal/names"
)

var key = client.ObjectKey{Namespace: "ns", Name: "digits"}

func role(name string, replicas int32) v1alpha1.Role {
	r := v1alpha1.Role{Name: name, Replicas: &replicas, RestartPolicy: v1alpha1.RestartOnFailure}
	r.Template.Spec.Containers = []corev1.Container{{Name: "main", Image: "none"}}
	return r
}

// kubelet takes one step with one pod at a time. When all pods run, the first attempt of worker 0 fails; when all run
// again, the workers succeed and the master last.
func kubelet(ctx context.Context, c client.Client) (bool, error) {
	var list corev1.PodList
	if err := c.List(ctx, &list); err != nil {
		return false, err
	}
	pods, failed := map[string]*corev1.Pod{}, false
	for i := range list.Items {
		p := &list.Items[i]
		pods[p.Name] = p
		failed = failed || p.Status.Phase == corev1.PodFailed
		if p.Status.Phase == "" {
			p.Status.Phase = corev1.PodRunning
			return true, c.Status().Update(ctx, p)
		}
	}
	if len(pods) < 3 || failed {
		return false, nil
	}
	if p := pods["digits-worker-0"]; p.Labels[names.Attempt] == "0" {
		p.Status.Phase = corev1.PodFailed
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: "main", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}},
		}}
		return true, c.Status().Update(ctx, p)
	}
	for _, name := range []string{"digits-worker-0", "digits-worker-1", "digits-master-0"} {
		if p := pods[name]; p.Status.Phase == corev1.PodRunning {
			p.Status.Phase = corev1.PodSucceeded
			return true, c.Status().Update(ctx, p)
		}
	}
	return false, nil
}

func TestAnyFaultBetweenAnyTwoWritesEndsTheSame(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	job := &v1alpha1.TrainingJob{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, Generation: 1}}
	job.Spec.Framework = v1alpha1.PyTorch
	job.Spec.Roles = []v1alpha1.Role{role("Master", 1), role("Worker", 2)}
	faulty.Run(t, faulty.Scenario{
		Scheme:  scheme,
		Kinds:   []client.ObjectList{&v1alpha1.TrainingJobList{}, &corev1.PodList{}, &corev1.ServiceList{}},
		Indexes: map[string]client.IndexerFunc{index.OwnerUID: index.Values(index.OwnerUID)},
		Objects: []client.Object{job},
		Start: func(c client.Client, live client.Reader, now clock.PassiveClock) faulty.Pass {
			deps := engine.Deps{Client: c, Live: live, Recorder: events.NewFakeRecorder(1000), Clock: now}
			r := engine.New(trainingjob.Name, trainingjob.Kind(), deps).ByName()
			return func(ctx context.Context) (ctrl.Result, error) {
				return r.Reconcile(ctx, ctrl.Request{NamespacedName: key})
			}
		},
		Others: kubelet,
	})
}
