// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/envtest"
	"github.com/millrace-ml/millrace/internal/names"
)

// bench is a controller without a manager: the test calls Reconcile itself.
type bench struct {
	client.WithWatch
	t         *testing.T
	namespace string
	clock     *testclock.FakePassiveClock
	requests  *envtest.Counter
	// writer, when set, is what the controller writes with.
	writer client.Client
	// offers are the optional kinds that the cluster has; nil stands for none.
	offers engine.Offers
	run    *engine.Reconciler[*v1alpha1.TrainingJob, World]
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return newBenchOn(t, envtest.Start(t), nil)
}

// newBenchOn is a bench on a server that offers optional kinds.
func newBenchOn(t *testing.T, server *envtest.Server, kinds []schema.GroupVersionKind) *bench {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	config, requests := server.Counted()
	counted, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{
		WithWatch: server.Client(t, scheme), t: t, namespace: server.Namespace(t), requests: requests,
		clock: testclock.NewFakePassiveClock(time.Now()),
	}
	b.offers = offered{b.WithWatch, kinds}
	b.start(counted)
	return b
}

// start makes a controller with an empty memory, as a new process has.
func (b *bench) start(c client.WithWatch) {
	cached := interceptor.NewClient(c, interceptor.Funcs{
		// Reads come from a cache in a manager: they cost no request.
		Get: func(ctx context.Context, _ client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return b.Get(ctx, key, o, opts...)
		},
		List: b.list,
	})
	b.writer = cached
	b.run = engine.New(Name, Kind(b.offers), engine.Deps{Client: cached, Live: b.WithWatch, Recorder: events.NewFakeRecorder(1000), Clock: b.clock})
}

// list does what the cache's index does.
func (b *bench) list(ctx context.Context, _ client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(opts)
	if err := b.List(ctx, list, client.InNamespace(b.namespace)); err != nil { // its namespace is the cluster of a bench
		return err
	}
	pods, ok := list.(*corev1.PodList)
	if !ok {
		return nil
	}
	_, uid, _ := strings.Cut(o.FieldSelector.String(), "=")
	var mine []corev1.Pod
	for _, p := range pods.Items {
		if engine.Owned(&p, types.UID(uid)) {
			mine = append(mine, p)
		}
	}
	pods.Items = mine
	return nil
}

// pass runs one reconcile.
func (b *bench) pass(name string) (time.Duration, error) {
	job := b.job(name)
	result, err := b.run.Reconcile(b.t.Context(), job)
	return result.RequeueAfter, err
}

// settle runs passes until one writes nothing.
func (b *bench) settle(name string) {
	b.t.Helper()
	for range 20 {
		b.requests.Reset()
		if _, err := b.pass(name); err != nil {
			b.t.Fatal(err)
		}
		if len(b.requests.Requests()) == 0 {
			return
		}
	}
	b.t.Fatalf("it does not settle: %v", b.requests.Total())
}

func (b *bench) job(name string) *v1alpha1.TrainingJob {
	b.t.Helper()
	job := &v1alpha1.TrainingJob{}
	if err := b.Get(b.t.Context(), client.ObjectKey{Namespace: b.namespace, Name: name}, job); err != nil {
		b.t.Fatal(err)
	}
	return job
}

func (b *bench) create(edit func(*v1alpha1.TrainingJob)) {
	b.t.Helper()
	template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "pytorch", Image: "digits:1"}}}}
	job := &v1alpha1.TrainingJob{
		ObjectMeta: metav1.ObjectMeta{Name: "digits", Namespace: b.namespace},
		Spec: v1alpha1.TrainingJobSpec{Framework: v1alpha1.PyTorch, Roles: []v1alpha1.Role{
			{Name: "Master", Template: template}, {Name: "Worker", Replicas: new(int32(2)), Template: template},
		}},
	}
	if edit != nil {
		edit(job)
	}
	if err := b.Create(b.t.Context(), job); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) pods() []corev1.Pod {
	b.t.Helper()
	var pods corev1.PodList
	if err := b.List(b.t.Context(), &pods, client.InNamespace(b.namespace)); err != nil {
		b.t.Fatal(err)
	}
	return pods.Items
}

// play sets the phase of every pod, as a kubelet would.
func (b *bench) play(phase corev1.PodPhase) {
	b.t.Helper()
	for _, p := range b.pods() {
		b.playOne(p.Name, phase, 0)
	}
}

func (b *bench) playOne(name string, phase corev1.PodPhase, exitCode int32) {
	b.t.Helper()
	p := &corev1.Pod{}
	if err := b.Get(b.t.Context(), client.ObjectKey{Namespace: b.namespace, Name: name}, p); err != nil {
		b.t.Fatal(err)
	}
	p.Status.Phase = phase
	status := corev1.ContainerStatus{Name: "pytorch", Image: "digits:1"}
	status.State.Running = &corev1.ContainerStateRunning{}
	if phase != corev1.PodRunning {
		status.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: exitCode, Reason: "Error"}}
	}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{status}
	if err := b.Status().Update(b.t.Context(), p); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) want(kind string, status metav1.ConditionStatus, reason string) *metav1.Condition {
	b.t.Helper()
	c := meta.FindStatusCondition(b.job("digits").Status.Conditions, kind)
	if c == nil || c.Status != status || c.Reason != reason {
		b.t.Fatalf("condition %s is %+v, want %s %s", kind, c, status, reason)
	}
	return c
}

func TestANewJobIsInProgress(t *testing.T) {
	b := newBench(t)
	b.create(nil)
	job := b.job("digits")
	if len(job.Status.Conditions) != 8 {
		t.Fatalf("want every condition from the start, got %+v", job.Status.Conditions)
	}
	b.want(v1alpha1.ConditionReconciling, yes, v1alpha1.ReasonPending)
	b.want(v1alpha1.ConditionSucceeded, unknown, v1alpha1.ReasonPending)
}

func TestAJobRunsToItsEndInFewWritesAndThenSilence(t *testing.T) {
	b := newBench(t)
	b.create(func(j *v1alpha1.TrainingJob) { j.Spec.RunPolicy.CleanPods = v1alpha1.CleanNone })
	var total int
	step := func() {
		t.Helper()
		for range 5 {
			b.requests.Reset()
			if _, err := b.pass("digits"); err != nil {
				t.Fatal(err)
			}
			total += len(b.requests.Requests())
		}
		if n := len(b.requests.Requests()); n != 0 {
			t.Fatalf("a pass in steady state sends %v", b.requests.Total())
		}
	}
	step()
	if got := len(b.pods()); got != 3 {
		t.Fatalf("got %d pods, want 3", got)
	}
	b.play(corev1.PodRunning)
	step()
	b.want(v1alpha1.ConditionRunning, yes, v1alpha1.ReasonAllRunning)
	b.play(corev1.PodSucceeded)
	step()
	b.want(v1alpha1.ConditionSucceeded, yes, v1alpha1.ReasonTrainingSucceeded)
	const pods, announced = 3, 2
	if total+announced > pods+8 {
		t.Errorf("%d writes and %d events for %d pods", total, announced, pods)
	}
	b.clock.SetTime(b.clock.Now().Add(time.Hour))
	step()
}

func TestAUsersServiceIsNeverTouched(t *testing.T) {
	b := newBench(t)
	users := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "digits", Namespace: b.namespace},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}
	if err := b.Create(t.Context(), users); err != nil {
		t.Fatal(err)
	}
	b.create(nil)
	if _, err := b.pass("digits"); err != nil {
		t.Fatal(err)
	}
	b.want(v1alpha1.ConditionAccepted, no, v1alpha1.ReasonNameTaken)
	after := &corev1.Service{}
	if err := b.Get(t.Context(), client.ObjectKeyFromObject(users), after); err != nil {
		t.Fatal(err)
	}
	if after.ResourceVersion != users.ResourceVersion {
		t.Error("the user's Service was written to")
	}
}

func TestAQuotaShowsOnTheJobAndClears(t *testing.T) {
	b := newBench(t)
	quota := &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "none", Namespace: b.namespace},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}},
	}
	if err := b.Create(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	// Nothing computes usage here but the API server's own plug-in, which wants to see a first status.
	quota.Status.Hard = quota.Spec.Hard
	quota.Status.Used = corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}
	if err := b.Status().Update(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	b.create(nil)
	again, err := b.pass("digits")
	if err != nil || again == 0 {
		t.Fatalf("want another try later, got %v %v", again, err)
	}
	c := b.want(v1alpha1.ConditionScheduled, no, v1alpha1.ReasonQuotaExceeded)
	if !strings.Contains(c.Message, "exceeded quota: none") {
		t.Errorf("the message does not name the quota: %s", c.Message)
	}
	if err := b.Delete(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	b.settle("digits")
	if got := len(b.pods()); got != 3 {
		t.Fatalf("got %d pods, want 3", got)
	}
}

// errKilled is the end of a process in the middle of a pass.
var errKilled = errors.New("killed")

// faulty fails the k-th write, before or after it took effect, and every one after it.
func faulty(c client.WithWatch, k int64, after bool) client.WithWatch {
	var count atomic.Int64
	do := func(write func() error) error {
		n := count.Add(1)
		if n > k || n == k && !after {
			return errKilled
		}
		err := write()
		if n == k {
			return errKilled
		}
		return err
	}
	return interceptor.NewClient(c, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return do(func() error { return c.Create(ctx, o, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return do(func() error { return c.Delete(ctx, o, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return do(func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
	})
}

// A worker fails and is restarted while the manager dies before or after each of its writes. However it dies, the
// failure is counted once, and every replica has one pod in the end.
func TestTheManagerMayDieBetweenAnyTwoWrites(t *testing.T) {
	for k := int64(1); k <= 9; k++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("at write %d, done %v", k, after), func(t *testing.T) {
				t.Parallel()
				dieAt(t, k, after)
			})
		}
	}
}

func dieAt(t *testing.T, k int64, after bool) {
	b := newBench(t)
	b.create(func(j *v1alpha1.TrainingJob) { j.Spec.Roles[1].RestartPolicy = v1alpha1.RestartExitCode })
	healthy := b.WithWatch
	b.start(faulty(healthy, k, after))
	live := func() {
		for range 12 {
			if _, err := b.pass("digits"); err != nil && !apierrors.IsConflict(err) {
				b.start(healthy)
			}
		}
	}
	live()
	b.play(corev1.PodRunning)
	live()
	b.playOne("digits-worker-1", corev1.PodFailed, 137)
	live()
	if got := len(b.pods()); got != 3 {
		t.Fatalf("got %d pods, want 3", got)
	}
	job := b.job("digits")
	if len(job.Status.Restarts) != 1 || job.Status.Restarts[0].Count != 1 || job.Status.RestartCount != 1 {
		t.Fatalf("the failure was not counted once: %+v", job.Status.Restarts)
	}
	for _, p := range b.pods() {
		if p.Name == "digits-worker-1" && p.Labels[names.Attempt] != "1" {
			t.Errorf("pod %s is of attempt %s, want 1", p.Name, p.Labels[names.Attempt])
		}
	}
	b.play(corev1.PodRunning)
	b.playOne("digits-master-0", corev1.PodSucceeded, 0)
	live()
	b.want(v1alpha1.ConditionSucceeded, yes, v1alpha1.ReasonTrainingSucceeded)
}
