// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/envtest"
	"github.com/millrace-ml/millrace/internal/gang"
)

// offered is a cluster that serves some optional kinds.
type offered struct {
	client.Reader
	kinds []schema.GroupVersionKind
}

func (o offered) Serves(kind schema.GroupVersionKind) bool { return slices.Contains(o.kinds, kind) }

// group reads the object that stands for a gang, nil when there is none.
func (b *bench) group(row gang.Row, name string) *unstructured.Unstructured {
	b.t.Helper()
	group := &unstructured.Unstructured{}
	group.SetGroupVersionKind(row.Kind)
	err := b.Get(b.t.Context(), client.ObjectKey{Namespace: b.namespace, Name: name}, group)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return group
}

// tell sets the status of a group, as its scheduler would.
func (b *bench) tell(group *unstructured.Unstructured, status map[string]any) {
	b.t.Helper()
	group.Object["status"] = status
	err := b.Status().Update(b.t.Context(), group)
	if apierrors.IsNotFound(err) { // of a kind without the subresource
		err = b.Update(b.t.Context(), group)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// passes runs passes until nothing is written, a while later either, and counts what is.
func (b *bench) passes(into map[string]int) {
	b.t.Helper()
	for quiet := 0; quiet < 2; {
		b.requests.Reset()
		if _, err := b.pass("digits"); err != nil {
			b.t.Fatal(err)
		}
		quiet++
		for what, n := range b.requests.Total() {
			into[what] += n
			quiet = 0
		}
		b.clock.SetTime(b.clock.Now().Add(10 * time.Second)) // a status may wait for others
	}
}

func (b *bench) suspend(suspended bool) {
	b.t.Helper()
	job := b.job("digits")
	job.Spec.RunPolicy.Suspend = &suspended
	if err := b.Update(b.t.Context(), job); err != nil {
		b.t.Fatal(err)
	}
}

// kept fails when the API server did not keep all that was wanted of an object.
func kept(t *testing.T, want, got any, path string) {
	t.Helper()
	wanted, nested := want.(map[string]any)
	if !nested {
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
		return
	}
	live, _ := got.(map[string]any)
	for key, value := range wanted {
		kept(t, value, live[key], path+"."+key)
	}
}

// Each back end's group is taken by the schema its project publishes, is written once for an attempt, goes with the pods, and costs
// nothing at rest.
func TestGroupsAreTakenByTheirSchedulers(t *testing.T) {
	server := envtest.Start(t)
	server.InstallCRDs(t, "testdata/crds")
	for _, name := range []v1alpha1.GangScheduler{v1alpha1.GangVolcano, v1alpha1.GangKAI, v1alpha1.GangCoscheduling} {
		t.Run(string(name), func(t *testing.T) {
			row, _ := gang.Find(name)
			b := newBenchOn(t, server, []schema.GroupVersionKind{row.Kind})
			b.create(func(j *v1alpha1.TrainingJob) {
				j.Spec.RunPolicy.Restarts.Scope = v1alpha1.ScopeJob
				j.Spec.Scheduling = &v1alpha1.Scheduling{Gang: &v1alpha1.Gang{}, Topology: &v1alpha1.Topology{Key: "example.com/rack"}}
				if row.Lacks == nil {
					j.Spec.Scheduling.Gang.Roles = []v1alpha1.GangRole{{Name: "Worker", MinMember: 1}}
				}
			})
			lead(t, b, row)
		})
	}
}

func TestNativeGroups(t *testing.T) {
	server := envtest.StartWith(t, map[string]string{
		"feature-gates":  "GenericWorkload=true,TopologyAwareWorkloadScheduling=true",
		"runtime-config": "scheduling.k8s.io/v1beta1=true",
	})
	row, _ := gang.Find(v1alpha1.GangNative)
	b := newBenchOn(t, server, []schema.GroupVersionKind{row.Kind})
	class := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "high"}, Value: 1000}
	if err := b.Create(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	b.create(func(j *v1alpha1.TrainingJob) {
		j.Spec.RunPolicy.Restarts.Scope = v1alpha1.ScopeJob
		j.Spec.Scheduling = &v1alpha1.Scheduling{
			Gang: &v1alpha1.Gang{}, PriorityClassName: "high",
			Topology: &v1alpha1.Topology{Key: "example.com/rack", Mode: v1alpha1.TopologyRequired},
		}
	})
	lead(t, b, row)
}

// lead leads a job through its life: to its pods, a suspension, a second attempt, a restart of the whole job, and its end.
func lead(t *testing.T, b *bench, row gang.Row) {
	t.Helper()
	wrote := map[string]int{}
	b.passes(wrote)
	name := b.job("digits").Status.Gang.Group
	group := b.group(row, name)
	if group == nil {
		t.Fatalf("there is no group %q", name)
	}
	wanted, _ := gangOf(look(b.job("digits"), World{Served: []schema.GroupVersionKind{row.Kind}}, b.clock.Now()).layout)
	kept(t, row.Group(wanted).Object["spec"], group.Object["spec"], "spec")
	admit(b, row, name, wrote)
	for _, p := range b.pods() {
		joined(t, row, wanted, p)
	}
	if len(b.pods()) != 3 || wrote["patch podgroups"] != 1 {
		t.Fatalf("there are %d pods and %d writes of the group, want 3 and 1", len(b.pods()), wrote["patch podgroups"])
	}
	b.play(corev1.PodRunning)
	b.passes(wrote)
	b.suspend(true)
	b.passes(wrote)
	release(b, row, name, wrote)
	if b.group(row, name) != nil || len(b.pods()) > 0 {
		t.Fatalf("a suspended job has a group or %d pods", len(b.pods()))
	}
	b.suspend(false)
	b.passes(wrote)
	next := b.job("digits").Status.Gang.Group
	if (next != name) != row.PerAttempt {
		t.Errorf("the group of the second attempt is %s, of the first %s", next, name)
	}
	admit(b, row, next, wrote)
	if len(b.pods()) != 3 || wrote["patch podgroups"] != 2 {
		t.Fatalf("there are %d pods and %d writes of groups for two attempts, want 3 and 2", len(b.pods()), wrote["patch podgroups"])
	}
	b.play(corev1.PodRunning)
	b.passes(wrote)
	groups := 2 + restart(b, row, wrote)
	b.playOne("digits-master-0", corev1.PodSucceeded, 0)
	b.passes(wrote)
	last := b.job("digits").Status.Gang.Group
	release(b, row, last, wrote)
	b.want(v1alpha1.ConditionSucceeded, yes, v1alpha1.ReasonTrainingSucceeded)
	if b.group(row, last) != nil {
		t.Error("the group is left when the job is over")
	}
	if wrote["patch podgroups"] != groups || wrote["delete podgroups"] != groups {
		t.Errorf("%d groups cost %v", groups, wrote)
	}
}

// restart lets a pod crash, for which the whole job is restarted, and returns how many groups that takes.
func restart(b *bench, row gang.Row, wrote map[string]int) int {
	b.t.Helper()
	name := b.job("digits").Status.Gang.Group
	b.playOne("digits-worker-0", corev1.PodFailed, 1)
	b.passes(wrote)
	next := b.job("digits").Status.Gang.Group
	if row.PerAttempt {
		admit(b, row, next, wrote)
		if next == name || b.group(row, name) != nil {
			b.t.Errorf("group %s is left when its attempt is over, and %s stands for the next", name, next)
		}
	}
	if len(b.pods()) != 3 || b.group(row, next) == nil {
		b.t.Fatalf("there are %d pods after the restart, or no group %s", len(b.pods()), next)
	}
	b.play(corev1.PodRunning)
	b.passes(wrote)
	return map[bool]int{true: 1}[row.PerAttempt]
}

// admit lets a group out of its queue where that is waited for.
func admit(b *bench, row gang.Row, name string, wrote map[string]int) {
	b.t.Helper()
	if row.Admitted != nil {
		c := meta.FindStatusCondition(b.job("digits").Status.Conditions, v1alpha1.ConditionScheduled)
		if c == nil || c.Reason != v1alpha1.ReasonGangWaiting || len(b.pods()) > 0 {
			b.t.Fatal("pods are made before their group is let out of its queue")
		}
		b.tell(b.group(row, name), map[string]any{"phase": "Inqueue"})
	}
	b.passes(wrote)
}

// release removes the finalizer by which Kubernetes keeps a group that has pods: nothing here does it.
func release(b *bench, row gang.Row, name string, wrote map[string]int) {
	b.t.Helper()
	if group := b.group(row, name); group != nil && group.GetDeletionTimestamp() != nil {
		group.SetFinalizers(nil)
		if err := b.Update(b.t.Context(), group); err != nil {
			b.t.Fatal(err)
		}
	}
	b.passes(wrote)
}

// joined fails when a pod does not carry, after the API server has had it, what makes it a member.
func joined(t *testing.T, row gang.Row, g gang.Gang, p corev1.Pod) {
	t.Helper()
	want := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{}}}
	role := map[bool]string{true: "Master", false: "Worker"}[strings.Contains(p.Name, "master")]
	row.Join(g, row.GroupName(g), role, want)
	for key, value := range want.Labels {
		if p.Labels[key] != value {
			t.Errorf("pod %s has label %s=%q, want %q", p.Name, key, p.Labels[key], value)
		}
	}
	for key, value := range want.Annotations {
		if p.Annotations[key] != value {
			t.Errorf("pod %s has annotation %s=%q, want %q", p.Name, key, p.Annotations[key], value)
		}
	}
	if diff := gocmp.Diff(want.Spec.SchedulingGroup, p.Spec.SchedulingGroup); diff != "" {
		t.Errorf("pod %s schedulingGroup (-want +got):\n%s", p.Name, diff)
	}
	if row.Scheduler != "" && p.Spec.SchedulerName != row.Scheduler {
		t.Errorf("pod %s has scheduler %s, want %s", p.Name, p.Spec.SchedulerName, row.Scheduler)
	}
}

// The minimum is never larger than an elastic job, and follows it: one write for each change.
func TestTheMinimumFollowsAnElasticJob(t *testing.T) {
	server := envtest.Start(t)
	server.InstallCRDs(t, "testdata/crds")
	row, _ := gang.Find(v1alpha1.GangKAI)
	b := newBenchOn(t, server, []schema.GroupVersionKind{row.Kind})
	b.create(func(j *v1alpha1.TrainingJob) {
		j.Spec.Roles = j.Spec.Roles[1:]
		j.Spec.Roles[0].Replicas = nil
		j.Spec.PyTorch = &v1alpha1.PyTorchSpec{Elastic: &v1alpha1.Elastic{Replicas: 3, MinReplicas: new(int32(1)), MaxReplicas: new(int32(5))}}
		j.Spec.Scheduling = &v1alpha1.Scheduling{Gang: &v1alpha1.Gang{MinMember: new(int32(3))}}
	})
	wrote := map[string]int{}
	b.passes(wrote)
	writes := 1
	for _, step := range []struct {
		size int32
		want int64
	}{{2, 2}, {1, 1}, {4, 3}, {5, 3}} {
		job := b.job("digits")
		job.Spec.PyTorch.Elastic.Replicas = step.size
		if err := b.Update(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		b.passes(wrote)
		if step.size < 5 {
			writes++
		}
		got, _, _ := unstructured.NestedInt64(b.group(row, "digits").Object, "spec", "minMember")
		if got != step.want || wrote["patch podgroups"] != writes {
			t.Errorf("at size %d the minimum is %d after %d writes, want %d after %d", step.size, got, wrote["patch podgroups"], step.want, writes)
		}
	}
}

// Without its gate the API server drops a topology without a word: that is found out, and no pod is made that would be placed
// anywhere.
func TestATopologyThatIsDroppedIsFoundOut(t *testing.T) {
	server := envtest.StartWith(t, map[string]string{
		"feature-gates": "GenericWorkload=true", "runtime-config": "scheduling.k8s.io/v1beta1=true",
	})
	row, _ := gang.Find(v1alpha1.GangNative)
	b := newBenchOn(t, server, []schema.GroupVersionKind{row.Kind})
	b.create(func(j *v1alpha1.TrainingJob) {
		j.Spec.Scheduling = &v1alpha1.Scheduling{
			Gang: &v1alpha1.Gang{}, Topology: &v1alpha1.Topology{Key: "example.com/rack", Mode: v1alpha1.TopologyRequired},
		}
	})
	b.passes(map[string]int{})
	c := b.want(v1alpha1.ConditionScheduled, unknown, v1alpha1.ReasonGangWaiting)
	if !strings.Contains(c.Message, "TopologyAwareWorkloadScheduling") || len(b.pods()) > 0 {
		t.Errorf("%d pods were made, and it says: %s", len(b.pods()), c.Message)
	}
}

// The schemas of schedulers take what is asked of them for a topology that they know, KAI's of 0.12 and a later one too.
func TestATopologyThatTheSchedulerKnowsIsAskedOfIt(t *testing.T) {
	for name, tc := range map[string]struct {
		by     v1alpha1.GangScheduler
		crds   string
		fabric map[string]any
	}{
		"KAI 0.12": {v1alpha1.GangKAI, "testdata/crds", map[string]any{"levels": []any{map[string]any{"nodeLabel": "example.com/rack"}}}},
		"KAI now":  {v1alpha1.GangKAI, "testdata/newer", map[string]any{"levels": []any{map[string]any{"nodeLabel": "example.com/rack"}}}},
		"Volcano": {v1alpha1.GangVolcano, "testdata/crds", map[string]any{"tier": int64(1), "tierName": "example.com/rack", "members": []any{
			map[string]any{"type": "Node", "selector": map[string]any{"exactMatch": map[string]any{"name": "node-1"}}},
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			server := envtest.Start(t)
			server.InstallCRDs(t, "testdata/crds")
			server.InstallCRDs(t, tc.crds)
			row, _ := gang.Find(tc.by)
			b := newBenchOn(t, server, []schema.GroupVersionKind{row.Kind, row.Fabric})
			fabric := engine.Blank(row.Fabric)
			fabric.SetName("by-rack")
			fabric.Object["spec"] = tc.fabric
			if err := b.Create(t.Context(), fabric); err != nil && !apierrors.IsAlreadyExists(err) {
				t.Fatal(err)
			}
			b.create(func(j *v1alpha1.TrainingJob) {
				j.Spec.Scheduling = &v1alpha1.Scheduling{
					Gang:     &v1alpha1.Gang{Roles: []v1alpha1.GangRole{{Name: "Worker", MinMember: 1}}},
					Topology: &v1alpha1.Topology{Key: "example.com/rack", Mode: v1alpha1.TopologyRequired},
				}
			})
			wrote := map[string]int{}
			b.passes(wrote)
			group := b.group(row, b.job("digits").Status.Gang.Group)
			wanted, _ := gangOf(look(b.job("digits"), World{Served: []schema.GroupVersionKind{row.Kind}}, b.clock.Now()).layout)
			wanted.Level = row.Locate(wanted.Topology, nil, []unstructured.Unstructured{*fabric})
			kept(t, row.Group(wanted).Object["spec"], group.Object["spec"], "spec")
			admit(b, row, group.GetName(), wrote)
			for _, p := range b.pods() {
				if p.Spec.Affinity != nil {
					t.Errorf("pod %s is kept near the others by affinity too", p.Name)
				}
			}
			if len(b.pods()) != 3 || wrote["patch podgroups"] != 1 {
				t.Errorf("there are %d pods and %d writes of the group, want 3 and 1", len(b.pods()), wrote["patch podgroups"])
			}
		})
	}
}
