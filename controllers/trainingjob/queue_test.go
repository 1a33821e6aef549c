// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"
	"maps"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/envtest"
	"github.com/millrace-ml/millrace/internal/kueue"
	"github.com/millrace-ml/millrace/internal/names"
)

// everything is a cluster that offers every optional kind.
type everything struct{ client.Reader }

func (everything) Serves(schema.GroupVersionKind) bool { return true }

// newQueueBench is a bench on a server that has Kueue's kinds. The test plays Kueue.
func newQueueBench(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	envtest.Start(t).InstallCRDs(t, "testdata/kueue")
	b.offers = everything{b.WithWatch}
	b.start(b.writer.(client.WithWatch))
	flavor := engine.Blank(kueue.FlavorKind)
	flavor.SetName("a100")
	flavor.Object["spec"] = map[string]any{"nodeLabels": map[string]any{"gpu": "a100"}}
	if err := b.Create(t.Context(), flavor); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	b.create(func(j *v1alpha1.TrainingJob) {
		j.Spec.Scheduling = &v1alpha1.Scheduling{Queue: "team-a"}
		j.Spec.RunPolicy.CleanPods = v1alpha1.CleanNone
	})
	return b
}

// quiet runs passes until one writes nothing.
func (b *bench) quiet() {
	b.t.Helper()
	b.settle("digits")
}

func (b *bench) workload() *kueue.Workload {
	b.t.Helper()
	u := engine.Blank(kueue.WorkloadKind)
	if err := b.Get(b.t.Context(), client.ObjectKey{Namespace: b.namespace, Name: "trainingjob-digits"}, u); err != nil {
		b.t.Fatal(err)
	}
	w, err := kueue.Read[kueue.Workload](u)
	if err != nil {
		b.t.Fatal(err)
	}
	return w
}

// say sets conditions of the Workload, as Kueue would, and more of its status.
func (b *bench) say(more map[string]any, conditions ...[2]string) {
	b.t.Helper()
	u := engine.Blank(kueue.WorkloadKind)
	if err := b.Get(b.t.Context(), client.ObjectKey{Namespace: b.namespace, Name: "trainingjob-digits"}, u); err != nil {
		b.t.Fatal(err)
	}
	status, _, _ := unstructured.NestedMap(u.Object, "status")
	if status == nil {
		status = map[string]any{}
	}
	var list []any
	old, _, _ := unstructured.NestedSlice(status, "conditions")
	for _, c := range old {
		if name := c.(map[string]any)["type"]; name != conditions[0][0] && name != conditions[len(conditions)-1][0] {
			list = append(list, c)
		}
	}
	for _, c := range conditions {
		list = append(list, map[string]any{
			"type": c[0], "status": c[1], "reason": "Preempted", "message": "for the test",
			"lastTransitionTime": b.clock.Now().UTC().Format(time.RFC3339),
		})
	}
	status["conditions"] = list
	maps.Copy(status, more)
	u.Object["status"] = status
	if err := b.Status().Update(b.t.Context(), u); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) admit() {
	b.t.Helper()
	set := func(name string, count int64) any {
		return map[string]any{"name": name, "count": count, "flavors": map[string]any{"cpu": "a100"}}
	}
	admission := map[string]any{"clusterQueue": "gpus", "podSetAssignments": []any{set("master", 1), set("worker", 2)}}
	b.say(map[string]any{"admission": admission}, [2]string{kueue.QuotaReserved, "True"}, [2]string{kueue.Admitted, "True"})
}

func (b *bench) ready() {
	b.t.Helper()
	b.play(corev1.PodRunning)
	for _, p := range b.pods() {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		if err := b.Status().Update(b.t.Context(), &p); err != nil {
			b.t.Fatal(err)
		}
	}
}

func TestAQueuedJobCostsThreeWritesMoreAndNonePerPod(t *testing.T) {
	b := newQueueBench(t)
	writes := map[string]int{}
	step := func() {
		t.Helper()
		for range 6 {
			b.requests.Reset()
			if _, err := b.pass("digits"); err != nil {
				t.Fatal(err)
			}
			for request, n := range b.requests.Total() {
				writes[request] += n
			}
		}
		if n := len(b.requests.Requests()); n != 0 {
			t.Fatalf("a pass in steady state sends %v", b.requests.Total())
		}
	}
	step()
	if got := len(b.pods()); got != 0 {
		t.Fatalf("%d pods were made before admission", got)
	}
	b.want(v1alpha1.ConditionScheduled, unknown, v1alpha1.ReasonQueuePending)
	b.admit()
	step()
	for _, p := range b.pods() {
		if p.Spec.NodeSelector["gpu"] != "a100" {
			t.Errorf("pod %s was made without the flavor's labels: %v", p.Name, p.Spec.NodeSelector)
		}
	}
	b.ready()
	step()
	b.want(v1alpha1.ConditionRunning, yes, v1alpha1.ReasonAllRunning)
	b.play(corev1.PodSucceeded)
	step()
	if !b.workload().Is(kueue.Finished) {
		t.Error("Kueue is not told that the job has finished")
	}
	for request, want := range map[string]int{
		"create workloads": 1, "patch workloads/status": 2, "patch workloads": 0, "delete workloads": 0,
		"create pods": 3, "patch pods": 0, "update pods": 0, "delete pods": 0,
	} {
		if writes[request] != want {
			t.Errorf("%d times %s, want %d", writes[request], request, want)
		}
	}
}

// A running job is evicted while the manager dies before or after each of its writes. However it dies, the eviction is counted
// once, the quota is given back when the pods are gone, and the job runs again with pods of the next attempt.
func TestTheManagerMayDieDuringAnEviction(t *testing.T) {
	for k := int64(1); k <= 6; k++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("at write %d, done %v", k, after), func(t *testing.T) {
				t.Parallel()
				evictAt(t, k, after)
			})
		}
	}
}

func evictAt(t *testing.T, k int64, after bool) {
	b := newQueueBench(t)
	healthy := b.WithWatch
	live := func() {
		for range 10 {
			if _, err := b.pass("digits"); err != nil && !apierrors.IsConflict(err) {
				b.start(healthy)
			}
		}
	}
	live()
	b.admit()
	live()
	b.ready()
	live()
	b.start(faulty(healthy, k, after))
	b.say(nil, [2]string{kueue.Evicted, "True"})
	live()
	if w := b.workload(); w.Is(kueue.QuotaReserved) || w.Is(kueue.Admitted) || w.Is(kueue.PodsReady) || w.Status.Admission != nil || !w.Is(kueue.Requeued) {
		t.Fatalf("the quota was not given back: %+v", w.Status)
	}
	if got := len(b.pods()); got != 0 {
		t.Fatalf("%d pods are left", got)
	}
	b.say(nil, [2]string{kueue.Evicted, "False"})
	b.admit()
	live()
	if n := b.job("digits").Status.Suspensions; n != 1 {
		t.Fatalf("one eviction was counted %d times", n)
	}
	for _, p := range b.pods() {
		if p.Labels[names.Attempt] != "1" {
			t.Errorf("pod %s is of attempt %s, want 1", p.Name, p.Labels[names.Attempt])
		}
	}
	if got := len(b.pods()); got != 3 {
		t.Fatalf("got %d pods, want 3", got)
	}
}

func TestQuotaIsHeldWhilePodsAreEnding(t *testing.T) {
	b := newQueueBench(t)
	b.quiet()
	b.admit()
	b.quiet()
	stuck := b.pods()[0]
	hold := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":["example.com/hold"]}}`))
	if err := b.Patch(t.Context(), &stuck, hold); err != nil {
		t.Fatal(err)
	}
	b.say(nil, [2]string{kueue.Evicted, "True"})
	b.quiet()
	if !b.workload().Is(kueue.QuotaReserved) {
		t.Fatal("quota was given back while a pod holds it")
	}
	b.want(v1alpha1.ConditionScheduled, no, v1alpha1.ReasonEvicted)
	free := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
	if err := b.Patch(t.Context(), &stuck, free); err != nil {
		t.Fatal(err)
	}
	b.quiet()
	if b.workload().Is(kueue.QuotaReserved) {
		t.Fatal("quota is held for ever")
	}
}

func TestASuspendedJobLeavesItsQueue(t *testing.T) {
	b := newQueueBench(t)
	b.quiet()
	first := b.workload().UID
	b.suspend(true)
	b.quiet()
	err := b.Get(t.Context(), client.ObjectKey{Namespace: b.namespace, Name: "trainingjob-digits"}, engine.Blank(kueue.WorkloadKind))
	if !apierrors.IsNotFound(err) {
		t.Fatalf("the Workload of a suspended job is there: %v", err)
	}
	b.suspend(false)
	b.quiet()
	if b.workload().UID == first {
		t.Error("want a new Workload")
	}
}

func TestAWorkloadOfSomebodyElseIsNeverTouched(t *testing.T) {
	b := newQueueBench(t)
	theirs := engine.Blank(kueue.WorkloadKind)
	theirs.SetNamespace(b.namespace)
	theirs.SetName("trainingjob-digits")
	theirs.Object["spec"] = map[string]any{"podSets": []any{map[string]any{"name": "main", "template": map[string]any{}}}}
	if err := b.Create(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	if _, err := b.pass("digits"); err != nil {
		t.Fatal(err)
	}
	b.want(v1alpha1.ConditionAccepted, no, v1alpha1.ReasonNameTaken)
	if b.workload().ResourceVersion != theirs.GetResourceVersion() {
		t.Error("the user's Workload was written to")
	}
}

func TestAWaitingJobTellsItsPlaceAndSendsNothingWhileItStays(t *testing.T) {
	b := newQueueBench(t)
	b.quiet()
	foreign := func(name string) *unstructured.Unstructured {
		u := engine.Blank(kueue.WorkloadKind)
		u.SetNamespace(b.namespace)
		u.SetName(name)
		u.Object["spec"] = map[string]any{
			"queueName": "team-a", "priority": int64(7), "podSets": []any{map[string]any{"name": "main", "count": int64(1), "template": map[string]any{
				"spec": map[string]any{"containers": []any{}},
			}}},
		}
		if err := b.Create(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		return u
	}
	first := foreign("first")
	foreign("second")
	minute := func(want int32) {
		t.Helper()
		b.clock.SetTime(b.clock.Now().Add(time.Minute))
		b.quiet()
		if got := b.job("digits").Status.Queue.Position; got == nil || *got != want {
			t.Fatalf("the job says it is in place %v, want %d", got, want)
		}
		b.noRequests()
	}
	minute(3)
	if err := b.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	minute(2)
	b.admit()
	b.quiet()
	b.clock.SetTime(b.clock.Now().Add(time.Minute)) // a status of pods that are being made may wait for others
	b.quiet()
	if got := b.job("digits").Status.Queue.Position; got != nil {
		t.Errorf("a job that was admitted stands in place %d", *got)
	}
}
