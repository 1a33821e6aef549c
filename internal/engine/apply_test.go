// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const label = "app.kubernetes.io/managed-by"

var ours = labels.SelectorFromSet(labels.Set{label: "millrace"})

func service(selector map[string]string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "child", Labels: map[string]string{label: "millrace"}},
		Spec:       corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Selector: selector},
	}
}

func settings(data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "child"}, Data: data}
}

func applying(objects ...func() Object) func(*job, world, time.Time) Plan {
	return func(*job, world, time.Time) Plan {
		var plan Plan
		for _, o := range objects {
			plan.Apply = append(plan.Apply, o())
		}
		return plan
	}
}

func TestApplyCostsNothingOnceTrue(t *testing.T) {
	b := newBench(t)
	r := b.engineOf(Kind[*job, world]{Plan: applying(
		func() Object { return service(map[string]string{"a": "b"}) },
		func() Object { return settings(map[string]string{"a": "b"}) },
	)})
	b.pass(r)
	b.pass(r)
	b.requests.Reset()
	b.pass(r)
	if got := b.requests.Requests(); len(got) != 0 {
		t.Errorf("a third pass asked for %v, want nothing", got)
	}
}

func TestApplyRepairsDriftAndKeepsWhatOthersSet(t *testing.T) {
	b := newBench(t)
	r := b.engineOf(Kind[*job, world]{Plan: applying(func() Object { return service(map[string]string{"a": "b"}) })})
	b.pass(r)
	live := read(b, "child", &corev1.Service{})
	live.Spec.Selector = map[string]string{"a": "drift"}
	live.Annotations = map[string]string{"user": "mine"}
	must(t, b.client.Update(t.Context(), live)) // the cached client, so that the engine's cache has seen it
	b.pass(r)
	live = read(b, "child", &corev1.Service{})
	if diff := cmp.Diff(map[string]string{"a": "b"}, live.Spec.Selector); diff != "" {
		t.Errorf("selector (-want +got):\n%s", diff)
	}
	if live.Annotations["user"] != "mine" {
		t.Errorf("annotations = %v, want the user's to stay", live.Annotations)
	}
}

func TestApplyRemovesWhatLeavesTheIntent(t *testing.T) {
	b := newBench(t)
	data := map[string]string{"keep": "1", "go": "2"}
	r := b.engineOf(Kind[*job, world]{Plan: applying(func() Object { return settings(data) })})
	b.pass(r)
	data = map[string]string{"keep": "1"}
	b.pass(b.engineOf(r.Kind)) // a restarted manager knows nothing of the first intent
	if diff := cmp.Diff(data, read(b, "child", &corev1.ConfigMap{}).Data); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
}

func TestApplyNeverTakesOver(t *testing.T) {
	tests := map[string]func(*corev1.Service){
		"a user's Service hidden by the filter of the cache":   func(s *corev1.Service) { s.Labels = nil },
		"a user's Service that the cache shows":                func(*corev1.Service) {},
		"a Service of another controller hidden by the filter": func(s *corev1.Service) { s.Labels = nil; s.OwnerReferences = foreign },
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			users := service(map[string]string{"user": "s"})
			users.Namespace = b.namespace
			prepare(users)
			must(t, b.admin.Create(t.Context(), users))
			var refused []Refusal
			pods := 0
			r := b.engineOf(Kind[*job, world]{
				Plan: func(*job, world, time.Time) Plan {
					pods++
					return Plan{Apply: []Object{service(map[string]string{"a": "b"})}, Create: []Step{{Object: pod("p")}}}
				},
				Refuse: func(_ *job, refusals []Refusal) { refused = refusals },
			})
			result := b.pass(r)
			live := read(b, "child", &corev1.Service{})
			if diff := cmp.Diff(users, live); diff != "" {
				t.Errorf("the user's Service changed (-want +got):\n%s", diff)
			}
			if len(refused) != 1 || refused[0].Cause != Taken || refused[0].Kind != "Service" {
				t.Errorf("refusals = %+v, want one of cause Taken", refused)
			}
			if result.RequeueAfter != refusedAgain {
				t.Errorf("comes back after %v, want %v", result.RequeueAfter, refusedAgain)
			}
			if slices.Contains(b.writes(), "create pods") {
				t.Error("made a pod without its Service")
			}
		})
	}
}

var foreign = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "db", UID: "1", Controller: new(true)}}

func TestApplyOnAStaleCacheNeverTakesOverAReplacement(t *testing.T) {
	b := newBench(t)
	want := service(map[string]string{"a": "b"})
	r := b.engineOf(Kind[*job, world]{Plan: applying(func() Object { return want.DeepCopy() })})
	b.pass(r)
	stale := read(b, "child", &corev1.Service{})
	must(t, b.admin.Delete(t.Context(), stale))
	users := service(map[string]string{"user": "s"})
	users.Namespace = b.namespace
	must(t, b.admin.Create(t.Context(), users))

	intent := want.DeepCopy()
	must(t, Own(b.owner, Plan{Apply: []Object{intent}}, b.client.Scheme()))
	err := r.applier.write(t.Context(), &memory{}, intent, func(meta map[string]any) { meta["uid"] = string(stale.UID) })
	if !apierrors.IsConflict(err) {
		t.Errorf("writing to what is gone = %v, want a conflict", err)
	}
	if diff := cmp.Diff(users, read(b, "child", &corev1.Service{})); diff != "" {
		t.Errorf("the user's Service changed (-want +got):\n%s", diff)
	}
}

func TestApplyWaitsForItsOwnTerminatingChild(t *testing.T) {
	b := newBench(t)
	r := b.engineOf(Kind[*job, world]{Plan: applying(func() Object { return settings(map[string]string{"a": "b"}) })})
	b.pass(r)
	live := read(b, "child", &corev1.ConfigMap{})
	live.Finalizers = []string{"test.example/hold"}
	must(t, b.client.Update(t.Context(), live))
	must(t, b.client.Delete(t.Context(), live))
	b.requests.Reset()
	if result := b.pass(r); result.RequeueAfter != goneAgain {
		t.Errorf("comes back after %v, want %v", result.RequeueAfter, goneAgain)
	}
	if got := b.writes(); len(got) != 0 {
		t.Errorf("wrote %v to an object on its way out", got)
	}
}

// read fills in the object called name.
func read[O client.Object](b *bench, name string, into O) O {
	b.Helper()
	must(b, b.admin.Get(b.Context(), client.ObjectKey{Namespace: b.namespace, Name: name}, into))
	return into
}

// A kind without the status subresource gets a new generation with each status its own controller writes.
func TestAStatusIsNoDriftOfAnotherProjectsObject(t *testing.T) {
	group := Blank(widgetKind)
	group.Object["spec"] = map[string]any{"minMember": int64(2)}
	group.SetGeneration(1)
	told := group.DeepCopy()
	told.SetGeneration(2)
	told.Object["status"] = map[string]any{"phase": "Running"}
	if versionOf(group) != versionOf(told) {
		t.Error("a status alone is taken for drift")
	}
	told.Object["spec"] = map[string]any{"minMember": int64(1)}
	if versionOf(group) == versionOf(told) {
		t.Error("another spec is not taken for drift")
	}
}
