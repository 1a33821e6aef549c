// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/envtest"
)

func TestMain(m *testing.M) { os.Exit(envtest.Main(m)) }

// job stands for any owner; only its metadata and conditions matter here.
type job = v1alpha1.TrainingJob

// world is what the test kinds observe.
type world struct{ unread []string }

func (w world) Unread() []string { return w.unread }

// bench is one owner on a real API server, read through a cache, and what happens to it.
type bench struct {
	*testing.T
	client    client.Client // cached and counted, as the engine's
	admin     client.Client
	requests  *envtest.Counter
	recorder  *events.FakeRecorder
	clock     *clocktesting.FakePassiveClock
	namespace string
	owner     *job
}

func newScheme(tb testing.TB) *runtime.Scheme {
	tb.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			tb.Fatal(err)
		}
	}
	return scheme
}

// newBench makes an owner. The cache sees objects with a label of ours only, as the manager's does for Services.
func newBench(t *testing.T) *bench {
	t.Helper()
	server, scheme := envtest.Start(t), newScheme(t)
	config, requests := server.Counted()
	store, err := cache.New(config, cache.Options{
		Scheme:           scheme,
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject:         map[client.Object]cache.ByObject{&corev1.Service{}: {Label: ours}},
	})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- store.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
	})
	cached, err := client.New(config, client.Options{
		Scheme: scheme, Cache: &client.CacheOptions{Reader: store, EnableReadYourWritesConsistency: new(true)},
	})
	must(t, err)
	b := &bench{
		T: t, client: cached, admin: server.Client(t, scheme), requests: requests, recorder: events.NewFakeRecorder(100),
		clock: clocktesting.NewFakePassiveClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), namespace: server.Namespace(t),
	}
	b.owner = b.makeOwner("toy")
	return b
}

func (b *bench) makeOwner(name string) *job {
	b.Helper()
	o := &job{ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: name}}
	o.Spec.Framework = v1alpha1.PyTorch
	o.Spec.Roles = []v1alpha1.Role{{Name: "Worker"}}
	o.Spec.Roles[0].Template.Spec.Containers = []corev1.Container{{Name: "main", Image: "none"}}
	must(b, b.client.Create(b.Context(), o))
	return o
}

// engineOf returns a fresh engine, as after a restart.
func (b *bench) engineOf(kind Kind[*job, world]) *Reconciler[*job, world] {
	if kind.Observe == nil {
		kind.Observe = func(context.Context, client.Reader, *job) (world, error) { return world{}, nil }
	}
	if kind.Plan == nil {
		kind.Plan = func(*job, world, time.Time) Plan { return Plan{} }
	}
	if kind.Report == nil {
		kind.Report = func(*job, world, time.Time) {}
	}
	return New("Toy", kind, Deps{Client: b.client, Live: b.admin, Recorder: b.recorder, Clock: b.clock})
}

func (b *bench) pass(r *Reconciler[*job, world]) ctrl.Result {
	b.Helper()
	result, err := r.ByName().Reconcile(b.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(b.owner)})
	must(b, err)
	return result
}

// stored is the owner as it is stored.
func (b *bench) stored() *job {
	b.Helper()
	o := &job{}
	must(b, b.admin.Get(b.Context(), client.ObjectKeyFromObject(b.owner), o))
	return o
}

// writes lists the requests since the last call, but for reads.
func (b *bench) writes() []string {
	var list []string
	for _, r := range b.requests.Requests() {
		if r.Verb != "get" && r.Verb != "list" {
			list = append(list, r.String())
		}
	}
	b.requests.Reset()
	slices.Sort(list)
	return list
}

func (b *bench) events() []string {
	var list []string
	for len(b.recorder.Events) > 0 {
		list = append(list, <-b.recorder.Events)
	}
	return list
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
