// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/envtest"
	"github.com/millrace-ml/millrace/internal/health"
	"github.com/millrace-ml/millrace/internal/names"
)

// bench is a controller without a manager: the test calls Reconcile itself.
type bench struct {
	client.WithWatch
	t         *testing.T
	namespace string
	clock     *testclock.FakePassiveClock
	requests  *envtest.Counter
	// forbidden is true where the manager may not patch nodes.
	forbidden bool
	run       *engine.Reconciler[*v1alpha1.Accelerator, World]
}

func newBench(t *testing.T, healing health.Policy) *bench {
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
		WithWatch: server.Client(t, scheme), t: t, namespace: server.Namespace(t), requests: requests,
		clock: testclock.NewFakePassiveClock(time.Now()),
	}
	cached := interceptor.NewClient(counted, interceptor.Funcs{
		// Reads come from a cache in a manager: they cost no request. The index on devices is the pods' to tell.
		List: func(ctx context.Context, _ client.WithWatch, list client.ObjectList, _ ...client.ListOption) error {
			return b.List(ctx, list)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if _, node := o.(*corev1.Node); node && b.forbidden {
				return apierrors.NewForbidden(corev1.Resource("nodes"), o.GetName(), errors.New("not allowed"))
			}
			return c.Patch(ctx, o, patch, opts...)
		},
	})
	b.run = engine.New(Name, Kind(nil, healing), engine.Deps{Client: cached, Live: b.WithWatch, Recorder: events.NewFakeRecorder(100), Clock: b.clock})
	return b
}

// pass runs one reconcile and returns when the controller comes back, and how many requests it sent.
func (b *bench) pass() (time.Duration, int) {
	b.t.Helper()
	b.requests.Reset()
	result, err := b.run.Reconcile(b.t.Context(), b.read())
	if err != nil {
		b.t.Fatal(err)
	}
	return result.RequeueAfter, len(b.requests.Requests())
}

func (b *bench) read() *v1alpha1.Accelerator {
	b.t.Helper()
	a := &v1alpha1.Accelerator{}
	if err := b.Get(b.t.Context(), client.ObjectKey{Name: "a100"}, a); err != nil {
		b.t.Fatal(err)
	}
	return a
}

// node makes a node with all that its kubelet says.
func (b *bench) node(n nodeInShort) {
	b.t.Helper()
	node := n.node("nvidia.com/gpu")
	node.UID, node.ResourceVersion = "", ""
	status := node.Status
	b.must(b.Create(b.t.Context(), &node))
	b.t.Cleanup(func() { b.must(b.Delete(context.Background(), &node)) })
	node.Status = status
	b.must(b.Status().Update(b.t.Context(), &node))
}

func (b *bench) accelerator() {
	b.t.Helper()
	a := &v1alpha1.Accelerator{ObjectMeta: metav1.ObjectMeta{Name: "a100"}, Spec: v1alpha1.AcceleratorSpec{Resource: "nvidia.com/gpu"}}
	b.must(b.Create(b.t.Context(), a))
	b.t.Cleanup(func() { b.must(b.Delete(context.Background(), a)) })
}

// look reads a node.
func (b *bench) look(name string) *corev1.Node {
	b.t.Helper()
	n := &corev1.Node{}
	b.must(b.Get(b.t.Context(), client.ObjectKey{Name: name}, n))
	return n
}

func (b *bench) reason(kind string) string {
	b.t.Helper()
	return meta.FindStatusCondition(b.read().Status.Conditions, kind).Reason
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// place makes a pod on a node.
func (b *bench) place(name, node string) {
	b.t.Helper()
	p := podInShort{Namespace: b.namespace, Node: node, Devices: 2}.pod("nvidia.com/gpu")
	p.Name, p.Status = name, corev1.PodStatus{}
	c := &p.Spec.Containers[0]
	c.Name, c.Image, c.Resources.Limits = "main", "image", c.Resources.Requests
	b.must(b.Create(b.t.Context(), &p))
}

func TestNumbersAreGatheredAndSteadyStateIsSilent(t *testing.T) {
	b := newBench(t, health.Default())
	b.node(nodeInShort{Name: "n1", Devices: 8})
	b.accelerator()
	if got := b.read().Status.Conditions; len(got) != 5 || got[0].Reason != v1alpha1.ReasonPending {
		t.Errorf("want every condition from the start, got %+v", got)
	}
	b.pass() // and learns which kinds there are
	if total := b.requests.Total(); total["patch accelerators/status"] != 1 {
		t.Errorf("the first pass sends %v, want one patch of the status", total)
	}
	ready := meta.FindStatusCondition(b.read().Status.Conditions, v1alpha1.ConditionReady)
	if ready.Status != metav1.ConditionTrue || *b.read().Status.Capacity != 8 {
		t.Errorf("want it ready with 8 devices, got %+v of %+v", ready, b.read().Status)
	}
	b.place("one", "n1")
	again, sent := b.pass()
	b.place("two", "n1")
	if _, more := b.pass(); sent+more > 0 || again == 0 {
		t.Errorf("two pods cost %d requests at once, want none, and a later one", sent+more)
	}
	b.clock.SetTime(b.clock.Now().Add(time.Minute))
	if _, sent := b.pass(); sent != 1 || *b.read().Status.InUse != 4 {
		t.Errorf("want both pods in one patch, got %d requests and %d in use", sent, *b.read().Status.InUse)
	}
	b.clock.SetTime(b.clock.Now().Add(time.Hour))
	if _, sent := b.pass(); sent != 0 {
		t.Errorf("a pass in steady state sends %v", b.requests.Total())
	}
}

func TestBadNodesAreCordonedAndOnlyTheyAreUncordoned(t *testing.T) {
	healing := health.Default()
	healing.Cordon, healing.AvoidFor = true, time.Minute
	b := newBench(t, healing)
	b.node(nodeInShort{Name: "bad", Devices: 8, Conditions: []string{"GpuXidError"}})
	for _, name := range []string{"n1", "n2", "n3"} {
		b.node(nodeInShort{Name: name, Devices: 8})
	}
	b.accelerator()
	b.forbidden = true
	b.pass()
	if got := b.reason(v1alpha1.ConditionNodesCordoned); got != v1alpha1.ReasonCordonForbidden || b.look("bad").Spec.Unschedulable {
		t.Errorf("without the permission the reason is %s, want %s", got, v1alpha1.ReasonCordonForbidden)
	}
	b.forbidden = false
	b.pass()
	b.pass()
	if n := b.look("bad"); !n.Spec.Unschedulable || n.Annotations[names.Cordoned] == "" {
		t.Fatalf("the bad node is not cordoned, or does not say why: %+v", n)
	}
	if a := b.read(); len(a.Status.CordonedNodes) != 1 || b.reason(v1alpha1.ConditionNodesCordoned) != v1alpha1.ReasonCordoned {
		t.Errorf("the status does not tell of it: %+v", a.Status)
	}
	b.clock.SetTime(b.clock.Now().Add(time.Hour))
	if b.pass(); b.requests.Total()["patch nodes"] > 0 {
		t.Errorf("a node that is still bad costs %v", b.requests.Total())
	}
	if _, sent := b.pass(); sent > 0 {
		t.Errorf("a pass in steady state sends %v", b.requests.Total())
	}
	mended := b.look("bad")
	mended.Status.Conditions = mended.Status.Conditions[:1]
	b.must(b.Status().Update(t.Context(), mended))
	own := b.look("n1") // an administrator's
	own.Spec.Unschedulable = true
	b.must(b.Update(t.Context(), own))
	b.pass()
	b.pass()
	if n := b.look("bad"); n.Spec.Unschedulable || n.Annotations[names.Cordoned] != "" {
		t.Errorf("a node that is healthy again is still cordoned: %+v", n.ObjectMeta)
	}
	if !b.look("n1").Spec.Unschedulable {
		t.Error("a node that an administrator cordoned was uncordoned")
	}
}

func TestOnlyPodsThatComeToHoldDevicesOrLoseThemWakeAnything(t *testing.T) {
	pod := func(p podInShort) *corev1.Pod { made := p.pod("nvidia.com/gpu"); return &made }
	placed := podInShort{Node: "n1", Devices: 1}
	for name, c := range map[string]struct {
		old, now podInShort
		want     bool
	}{
		"it is placed":             {podInShort{Devices: 1}, placed, true},
		"it starts":                {podInShort{Node: "n1", Devices: 1, Phase: corev1.PodPending}, placed, false},
		"it ends":                  {placed, podInShort{Node: "n1", Devices: 1, Phase: corev1.PodFailed}, true},
		"a device of it breaks":    {placed, podInShort{Node: "n1", Devices: 1, Broken: 1}, true},
		"it waits without a node":  {podInShort{Devices: 1, Phase: corev1.PodPending}, podInShort{Devices: 1, Phase: corev1.PodPending}, false},
		"nothing that is relevant": {placed, placed, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := holders.Update(event.UpdateEvent{ObjectOld: pod(c.old), ObjectNew: pod(c.now)}); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	plain := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{}}}}
	if holders.Create(event.CreateEvent{Object: plain}) || holders.Delete(event.DeleteEvent{Object: plain}) {
		t.Error("a pod without devices wakes something")
	}
	if !holders.Delete(event.DeleteEvent{Object: pod(placed)}) {
		t.Error("a pod that is gone frees its devices, and nothing is woken")
	}
}
