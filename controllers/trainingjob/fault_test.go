// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	"github.com/millrace-ml/millrace/internal/health"
	"github.com/millrace-ml/millrace/internal/index"
	"github.com/millrace-ml/millrace/internal/names"
)

var key = client.ObjectKey{Namespace: "ns", Name: "digits"}

func role(name string, replicas int32) v1alpha1.Role {
	r := v1alpha1.Role{Name: name, Replicas: &replicas, RestartPolicy: v1alpha1.RestartOnFailure}
	r.Template.Spec.Containers = []corev1.Container{{Name: "main", Image: "none"}}
	return r
}

// play is a job and what becomes of its pods: when all of them run, the first attempt of one fails; when all run again, they end
// well in an order.
type play struct {
	job   *v1alpha1.TrainingJob
	fails string
	ends  []string
	// sickens is a pod whose node turns bad when all pods run.
	sickens string
	// pauses is true for a job whose user suspends it once, when it runs, and resumes it.
	pauses bool
}

// step takes one step with one object at a time, as users and the kubelet do.
func (y play) step(ctx context.Context, c client.Client) (bool, error) {
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
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
			return true, c.Status().Update(ctx, p)
		}
	}
	if y.pauses {
		if did, err := y.pause(ctx, c, len(pods)); did || err != nil {
			return did, err
		}
	}
	if failed || len(pods) < y.size() {
		return false, nil
	}
	if p := pods[y.sickens]; p != nil && p.Labels[names.Attempt] == "0" {
		return sicken(ctx, c, p)
	}
	return y.end(ctx, c, pods)
}

// sicken finds a pod its node, and the node broken; what is done about it is the manager's.
func sicken(ctx context.Context, c client.Client, p *corev1.Pod) (bool, error) {
	if p.Spec.NodeName == "" {
		p.Spec.NodeName = "gpu-1"
		return true, c.Update(ctx, p)
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "gpu-1"}}
	err := c.Get(ctx, client.ObjectKeyFromObject(node), node)
	if !apierrors.IsNotFound(err) {
		return false, err
	}
	node.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeOutOfService, Effect: corev1.TaintEffectNoExecute}}
	return true, c.Create(ctx, node)
}

func (y play) size() int {
	n := 0
	for _, r := range y.job.Spec.Roles {
		n += int(*r.Replicas)
	}
	return n
}

// pause suspends a job that was never suspended, and resumes one that is.
func (y play) pause(ctx context.Context, c client.Client, pods int) (bool, error) {
	job := &v1alpha1.TrainingJob{}
	if err := c.Get(ctx, key, job); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	switch paused := job.Spec.RunPolicy.Suspend != nil && *job.Spec.RunPolicy.Suspend; {
	case !paused && pods == y.size() && job.Status.StartTime != nil && job.Status.Suspensions == 0:
		job.Spec.RunPolicy.Suspend = new(true)
	case paused && pods == 0 && job.Status.Suspensions == 1:
		job.Spec.RunPolicy.Suspend = new(false)
	default:
		return false, nil
	}
	job.Generation++
	return true, c.Update(ctx, job)
}

// end fails the pod that is to fail, or ends the next that is to end well.
func (y play) end(ctx context.Context, c client.Client, pods map[string]*corev1.Pod) (bool, error) {
	if p := pods[y.fails]; p != nil && p.Labels[names.Attempt] == "0" {
		p.Status.Phase = corev1.PodFailed
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: "main", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}},
		}}
		return true, c.Status().Update(ctx, p)
	}
	for _, name := range y.ends {
		if p := pods[name]; p != nil && p.Status.Phase == corev1.PodRunning {
			p.Status.Phase = corev1.PodSucceeded
			return true, c.Status().Update(ctx, p)
		}
	}
	return false, nil
}

func jobOf(framework v1alpha1.Framework, policy v1alpha1.RunPolicy, roles ...v1alpha1.Role) *v1alpha1.TrainingJob {
	job := &v1alpha1.TrainingJob{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, Generation: 1}}
	job.Spec = v1alpha1.TrainingJobSpec{Framework: framework, Roles: roles, RunPolicy: policy}
	return job
}

func TestAnyFaultBetweenAnyTwoWritesEndsTheSame(t *testing.T) {
	inOrder := []string{"digits-worker-0", "digits-worker-1", "digits-master-0"}
	plays := map[string]play{
		"a replica fails": {
			job: jobOf(v1alpha1.PyTorch, v1alpha1.RunPolicy{}, role("Master", 1), role("Worker", 2)), fails: "digits-worker-0", ends: inOrder,
		},
		"a failure restarts the job": {
			job: jobOf(v1alpha1.PyTorch, v1alpha1.RunPolicy{Restarts: v1alpha1.Restarts{Scope: v1alpha1.ScopeJob}},
				role("Master", 1), role("Worker", 2)),
			fails: "digits-worker-0", ends: inOrder,
		},
		"a launcher waits for its workers": {
			job:  jobOf(v1alpha1.MPI, v1alpha1.RunPolicy{CleanPods: v1alpha1.CleanAll}, role("Launcher", 1), role("Worker", 2)),
			ends: []string{"digits-launcher-0"}, fails: "digits-launcher-0",
		},
		"a job is suspended and resumed": {
			job: jobOf(v1alpha1.PyTorch, v1alpha1.RunPolicy{}, role("Master", 1), role("Worker", 2)), ends: inOrder, pauses: true,
		},
		"a node turns bad below a worker": {
			job:  jobOf(v1alpha1.PyTorch, v1alpha1.RunPolicy{Restarts: v1alpha1.Restarts{Max: new(int32(0))}}, role("Master", 1), role("Worker", 2)),
			ends: inOrder, sickens: "digits-worker-1",
		},
		"a node turns bad below a job of one scope": {
			job:  jobOf(v1alpha1.JAX, v1alpha1.RunPolicy{Restarts: v1alpha1.Restarts{Max: new(int32(0))}}, role("Worker", 2)),
			ends: inOrder[:2], sickens: "digits-worker-1",
		},
		"a finished job is deleted": {
			job:  jobOf(v1alpha1.JAX, v1alpha1.RunPolicy{TTLSecondsAfterFinished: new(int32(0))}, role("Worker", 2)),
			ends: inOrder[:2],
		},
	}
	for name, y := range plays {
		t.Run(name, func(t *testing.T) { faults(t, y) })
	}
}

func faults(t *testing.T, y play) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	faulty.Run(t, faulty.Scenario{
		Scheme: scheme,
		Kinds: []client.ObjectList{
			&v1alpha1.TrainingJobList{}, &corev1.NodeList{}, &corev1.PodList{}, &corev1.ServiceList{}, &corev1.ConfigMapList{}, &corev1.SecretList{},
		},
		Indexes: map[string]client.IndexerFunc{
			index.OwnerUID: index.Values(index.OwnerUID), index.UnwellNode: trainingjob.UnwellNode(health.Default()),
		},
		Objects: []client.Object{y.job},
		Start: func(c client.Client, live client.Reader, now clock.PassiveClock) faulty.Pass {
			deps := engine.Deps{Client: c, Live: live, Recorder: events.NewFakeRecorder(1000), Clock: now}
			kind := trainingjob.Kind(nil)
			kind.Mint = nil // keys are random, and ends are compared
			r := engine.New(trainingjob.Name, kind, deps).ByName()
			return func(ctx context.Context) (ctrl.Result, error) {
				return r.Reconcile(ctx, ctrl.Request{NamespacedName: key})
			}
		},
		Others: y.step,
	})
}
