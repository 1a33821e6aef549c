// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/envtest"
	"github.com/millrace-ml/millrace/internal/names"
	"github.com/millrace-ml/millrace/internal/route"
)

// bench is a controller without a manager: the test calls Reconcile itself, and plays the StatefulSet's controller and the kubelet.
type bench struct {
	client.WithWatch
	t         *testing.T
	namespace string
	clock     *testclock.FakePassiveClock
	requests  *envtest.Counter
	uses      *engine.Snapshot[asked, Activity]
	counted   client.WithWatch
	run       *engine.Reconciler[*v1alpha1.Notebook, World]
}

// offers are optional kinds of a test.
type offers struct {
	client.Reader
	kinds []schema.GroupVersionKind
}

func (o offers) Serves(kind schema.GroupVersionKind) bool { return slices.Contains(o.kinds, kind) }

func newBench(t *testing.T) *bench {
	t.Helper()
	server := envtest.Start(t)
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
		WithWatch: server.Client(t, scheme), t: t, namespace: server.Namespace(t), requests: requests, counted: counted,
		clock: testclock.NewFakePassiveClock(time.Now()),
		uses:  engine.NewSnapshot[asked, Activity](func(name asked) reconcile.Request { return reconcile.Request{NamespacedName: name} }),
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}} // by which the API server knows what fits
	b.must(client.IgnoreAlreadyExists(b.Create(t.Context(), node)))
	b.must(b.Get(t.Context(), client.ObjectKeyFromObject(node), node))
	node.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("64"), corev1.ResourceMemory: resource.MustParse("64Gi"), corev1.ResourcePods: resource.MustParse("100")}
	node.Status.Capacity = node.Status.Allocatable
	b.must(b.Status().Update(t.Context(), node))
	b.restart()
	return b
}

// restart makes a controller with an empty memory, as a new process has.
func (b *bench) restart() {
	cached := interceptor.NewClient(b.counted, interceptor.Funcs{
		// Reads come from a cache in a manager: they cost no request.
		Get: func(ctx context.Context, _ client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return b.Get(ctx, key, o, opts...)
		},
		List: func(ctx context.Context, _ client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			return b.List(ctx, list, opts...)
		},
	})
	kind := kindOf(observer{
		offers: offers{b.WithWatch, route.Kinds()[2:]}, live: b.counted, uses: b.uses,
		settings: Settings{Idle: 10 * time.Minute, Route: route.Settings{IngressClass: "nginx"}},
	})
	b.run = engine.New(Name, kind, engine.Deps{Client: cached, Live: b.WithWatch, Recorder: events.NewFakeRecorder(1000), Clock: b.clock})
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) read() *v1alpha1.Notebook {
	b.t.Helper()
	nb := &v1alpha1.Notebook{}
	b.must(b.Get(b.t.Context(), client.ObjectKey{Namespace: b.namespace, Name: "lab"}, nb))
	return nb
}

// pass runs one reconcile and returns what it sent.
func (b *bench) pass() []string {
	b.t.Helper()
	b.requests.Reset()
	_, err := b.run.Reconcile(b.t.Context(), b.read())
	b.must(err)
	var sent []string
	for verb := range b.requests.Total() {
		sent = append(sent, verb)
	}
	slices.Sort(sent)
	return sent
}

// settle passes until nothing is sent.
func (b *bench) settle() {
	b.t.Helper()
	for range 10 {
		if len(b.pass()) == 0 {
			return
		}
		b.clock.SetTime(b.clock.Now().Add(10 * time.Second))
	}
	b.t.Fatalf("it does not settle: %v %+v", b.requests.Total(), b.read().Status)
}

func (b *bench) create() {
	b.t.Helper()
	nb := &v1alpha1.Notebook{ObjectMeta: metav1.ObjectMeta{Name: "lab", Namespace: b.namespace}, Spec: v1alpha1.NotebookSpec{
		Image: "jupyter:1", CPU: new(resource.MustParse("1")), Memory: new(resource.MustParse("1Gi")),
		Workspace: &v1alpha1.Workspace{Size: new(resource.MustParse("1Gi"))},
	}}
	b.must(b.Create(b.t.Context(), nb))
}

func (b *bench) update(edit func(*v1alpha1.Notebook)) {
	b.t.Helper()
	nb := b.read()
	edit(nb)
	b.must(b.Update(b.t.Context(), nb))
}

func (b *bench) set() *appsv1.StatefulSet {
	b.t.Helper()
	set := &appsv1.StatefulSet{}
	b.must(b.Get(b.t.Context(), client.ObjectKey{Namespace: b.namespace, Name: "lab"}, set))
	return set
}

// start makes the StatefulSet's pod, and lets its server be up.
func (b *bench) start() *corev1.Pod {
	b.t.Helper()
	set := b.set()
	set.Status.ObservedGeneration = set.Generation
	b.must(b.Status().Update(b.t.Context(), set))
	pod := &corev1.Pod{ObjectMeta: *set.Spec.Template.ObjectMeta.DeepCopy(), Spec: *set.Spec.Template.Spec.DeepCopy()}
	pod.Name, pod.Namespace, pod.Spec.NodeName = "lab-0", b.namespace, "node-1"
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: names.Workspace, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))}
	b.must(b.Create(b.t.Context(), pod))
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "lab", Image: "jupyter:1", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
		Resources: &set.Spec.Template.Spec.Containers[0].Resources, // by which the API server knows a kubelet that resizes
	}}
	b.must(b.Status().Update(b.t.Context(), pod))
	return pod
}

func (b *bench) condition(kind string) metav1.Condition {
	b.t.Helper()
	return *meta.FindStatusCondition(b.read().Status.Conditions, kind)
}

func (b *bench) gone(pod *corev1.Pod) bool {
	b.t.Helper()
	err := b.Get(b.t.Context(), client.ObjectKeyFromObject(pod), &corev1.Pod{})
	return apierrors.IsNotFound(err)
}

func TestALifeCostsFewRequestsAndSteadyStateNone(t *testing.T) {
	b := newBench(t)
	b.create()
	if got := b.read().Status.Conditions; len(got) != 10 || got[0].Reason != v1alpha1.ReasonPending {
		t.Errorf("want every condition from the start, got %+v", got)
	}
	b.pass()
	total := b.requests.Total()
	if total["patch statefulsets"] != 1 || total["patch services"] != 1 || total["patch ingresses"] != 1 {
		t.Errorf("the first pass sends %v", total)
	}
	b.start()
	b.settle()
	if got := b.condition(v1alpha1.ConditionReady); got.Status != yes || b.read().Status.Phase != v1alpha1.PhaseRunning {
		t.Errorf("want it running, got %+v", got)
	}
	b.clock.SetTime(b.clock.Now().Add(time.Hour))
	if sent := b.pass(); len(sent) > 0 {
		t.Errorf("a pass in steady state sends %v", sent)
	}
	ingress := &networkingv1.Ingress{}
	b.must(b.Get(t.Context(), client.ObjectKey{Namespace: b.namespace, Name: "notebook-" + b.namespace + "-lab"}, ingress))
	if got := ingress.Spec.Rules[0].HTTP.Paths[0]; got.Path != "/notebook/"+b.namespace+"/lab/" || got.Backend.Service.Name != "lab" {
		t.Errorf("the route leads to %+v", got)
	}
}

func TestAChangeAndANewManagerLeaveAServerThatRunsAlone(t *testing.T) {
	b := newBench(t)
	b.create()
	b.pass()
	pod := b.start()
	b.settle()
	b.restart()
	b.update(func(nb *v1alpha1.Notebook) {
		nb.Spec.Image = "jupyter:2"
		nb.Spec.Workspace.Size = new(resource.MustParse("2Gi")) // which the StatefulSet cannot take
	})
	b.settle()
	want := []v1alpha1.PendingChange{{Field: "image", From: "jupyter:1", To: "jupyter:2"}}
	if got := b.read().Status.PendingChanges; !slices.Equal(got, want) || b.gone(pod) {
		t.Errorf("want %v pending, got %v; the pod is gone: %v", want, got, b.gone(pod))
	}
	if got := b.condition(v1alpha1.ConditionAccepted); got.Status != yes {
		t.Errorf("want it accepted, got %+v", got)
	}
	set := b.set()
	if set.Spec.Template.Spec.Containers[0].Image != "jupyter:2" || set.Spec.UpdateStrategy.Type != appsv1.OnDeleteStatefulSetStrategyType {
		t.Error("the next start would not make the change")
	}
	set.Status.ObservedGeneration = set.Generation
	b.must(b.Status().Update(t.Context(), set))
	b.update(func(nb *v1alpha1.Notebook) { nb.Annotations = map[string]string{names.Restart: string(pod.UID)} })
	b.pass()
	b.must(client.IgnoreNotFound(b.Delete(t.Context(), pod, client.GracePeriodSeconds(0)))) // the kubelet
	b.start()
	b.settle()
	if got := b.read().Status; len(got.PendingChanges) > 0 || got.Phase != v1alpha1.PhaseRunning {
		t.Errorf("after a restart: %+v", got)
	}
}

func TestCPUIsChangedInPlaceAndWhatIsRefusedIsTriedOnce(t *testing.T) {
	b := newBench(t)
	b.create()
	b.pass()
	pod := b.start()
	b.settle()
	b.update(func(nb *v1alpha1.Notebook) { nb.Spec.CPU = new(resource.MustParse("2")) })
	b.settle()
	b.must(b.Get(t.Context(), client.ObjectKeyFromObject(pod), pod))
	if got := pod.Spec.Containers[0].Resources.Limits.Cpu().String(); got != "2" || len(b.read().Status.PendingChanges) > 0 {
		t.Fatalf("the server has %s, pending is %v: %+v", got, b.read().Status.PendingChanges, b.read().Status.ResizeRefused)
	}
	b.update(func(nb *v1alpha1.Notebook) { nb.Spec.Memory, nb.Spec.CPU = nil, nil })
	b.settle()
	b.update(func(nb *v1alpha1.Notebook) { nb.Spec.Template, nb.Spec.Image = bursting(), "" })
	b.settle()
	got := b.read().Status
	if got.ResizeRefused == nil || !strings.Contains(got.ResizeRefused.Message, "QOS") {
		t.Fatalf("want the refusal told, got %+v", got.ResizeRefused)
	}
	if !slices.ContainsFunc(got.PendingChanges, func(c v1alpha1.PendingChange) bool { return c.Field == "cpu" }) || b.gone(pod) {
		t.Errorf("want cpu pending, got %v", got.PendingChanges)
	}
	b.clock.SetTime(b.clock.Now().Add(time.Hour))
	if sent := b.pass(); len(sent) > 0 {
		t.Errorf("what was refused is tried again: %v", sent)
	}
}

// bursting asks for less than it may use.
func bursting() *corev1.PodTemplateSpec {
	return &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "lab", Image: "jupyter:1", Resources: corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("1Gi")},
		Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("3"), corev1.ResourceMemory: resource.MustParse("1Gi")},
	}}}}}
}

func TestAnIdleServerIsStoppedByAnAnnotationAndStartedWithoutIt(t *testing.T) {
	b := newBench(t)
	b.create()
	b.pass()
	pod := b.start()
	b.settle()
	now := metav1.NewTime(b.clock.Now())
	b.uses.Set(client.ObjectKeyFromObject(b.read()), Activity{Pod: pod.UID, Last: metav1.NewTime(now.Add(-time.Hour)), Idle: now})
	b.pass()
	if got := b.read().Annotations; got[names.Stopped] == "" || got[names.StoppedBecause] != because(v1alpha1.ReasonIdle, got[names.Stopped]) {
		t.Fatalf("it is not stopped: %v", got)
	}
	b.settle()
	if got := *b.set().Spec.Replicas; got != 0 || b.condition(v1alpha1.ConditionReady).Reason != v1alpha1.ReasonStopping {
		t.Errorf("want no replicas, got %d", got)
	}
	b.must(b.Delete(t.Context(), pod, client.GracePeriodSeconds(0)))
	b.settle()
	if got := b.condition(v1alpha1.ConditionReady); got.Status != yes || got.Reason != v1alpha1.ReasonStopped {
		t.Errorf("want it stopped, got %+v", got)
	}
	b.update(func(nb *v1alpha1.Notebook) { nb.Annotations = nil })
	b.pass()
	if got := *b.set().Spec.Replicas; got != 1 {
		t.Errorf("want a replica again, got %d", got)
	}
	b.start()
	b.settle()
	if got := b.read(); got.Annotations[names.Stopped] != "" || got.Status.Phase != v1alpha1.PhaseRunning {
		t.Error("what was known of an earlier pod stops the next")
	}
}

func TestAServiceOfSomebodyElseIsLeftAlone(t *testing.T) {
	b := newBench(t)
	theirs := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "lab", Namespace: b.namespace}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 1}}}}
	b.must(b.Create(t.Context(), theirs))
	b.create()
	b.pass()
	if got := b.condition(v1alpha1.ConditionAccepted); got.Reason != v1alpha1.ReasonNameTaken {
		t.Errorf("want NameTaken, got %+v", got)
	}
	b.must(b.Get(t.Context(), client.ObjectKeyFromObject(theirs), theirs))
	if len(theirs.OwnerReferences) > 0 || theirs.Spec.Ports[0].Port != 1 {
		t.Error("the Service was taken over")
	}
}

func TestWhyThePodIsRefusedIsTold(t *testing.T) {
	b := newBench(t)
	b.create()
	b.pass()
	set := b.set()
	set.Status.ObservedGeneration = 1
	b.must(b.Status().Update(t.Context(), set))
	b.must(b.Create(t.Context(), &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: "lab.1", Namespace: b.namespace}, Reason: "FailedCreate", LastTimestamp: metav1.Now(),
		InvolvedObject: corev1.ObjectReference{Kind: "StatefulSet", Namespace: b.namespace, Name: "lab", UID: set.UID, APIVersion: "apps/v1"},
		Message:        `create Pod lab-0 in StatefulSet lab failed error: pods "lab-0" is forbidden: exceeded quota: team`,
	}))
	b.clock.SetTime(b.clock.Now().Add(time.Minute))
	b.pass()
	if got := b.condition(v1alpha1.ConditionReady); got.Reason != v1alpha1.ReasonQuotaExceeded || !strings.Contains(got.Message, "exceeded quota: team") {
		t.Errorf("want the quota told, got %+v", got)
	}
}
