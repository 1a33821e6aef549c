// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/names"
)

// dice turns fuzzing bytes into choices.
type dice []byte

func (d *dice) roll(n int) int {
	if len(*d) == 0 {
		return 0
	}
	v := int((*d)[0]) % n
	*d = (*d)[1:]
	return v
}

func pick[T any](d *dice, from ...T) T { return from[d.roll(len(from))] }

// shapes are the roles by framework; the last is the one with several replicas.
var shapes = []struct {
	framework v1alpha1.Framework
	roles     []string
}{
	{v1alpha1.PyTorch, []string{"Master", "Worker"}},
	{v1alpha1.PyTorch, []string{"Worker"}},
	{v1alpha1.TensorFlow, []string{"Chief", "PS", "Worker"}},
	{v1alpha1.TensorFlow, []string{"PS", "Evaluator", "Worker"}},
	{v1alpha1.MPI, []string{"Launcher", "Worker"}},
	{v1alpha1.MXNet, []string{"Scheduler", "Server", "Worker"}},
	{v1alpha1.Chainer, []string{"Master", "gpu", "cpu"}},
	{v1alpha1.JAX, []string{"Worker"}},
	{v1alpha1.XGBoost, []string{"Master", "Worker"}},
}

func (d *dice) job() *v1alpha1.TrainingJob {
	policies := []v1alpha1.RestartPolicy{"", v1alpha1.RestartNever, v1alpha1.RestartOnFailure, v1alpha1.RestartExitCode}
	shape := pick(d, shapes...)
	job := &v1alpha1.TrainingJob{ObjectMeta: metav1.ObjectMeta{Name: "digits", Namespace: "team", UID: "uid"}}
	job.Spec.Framework = shape.framework
	for _, name := range shape.roles {
		template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "i"}}}}
		job.Spec.Roles = append(job.Spec.Roles, v1alpha1.Role{Name: name, RestartPolicy: pick(d, policies...), Template: template})
	}
	last := &job.Spec.Roles[len(job.Spec.Roles)-1]
	if shape.framework == v1alpha1.PyTorch && d.roll(3) == 0 {
		job.Spec.PyTorch = &v1alpha1.PyTorchSpec{Elastic: &v1alpha1.Elastic{Replicas: int32(1 + d.roll(4))}}
	} else {
		last.Replicas = new(int32(1 + d.roll(4)))
	}
	if d.roll(3) == 0 {
		last.Accelerator = &v1alpha1.AcceleratorRequest{Name: "a100", Count: 8}
	}
	if shape.framework == v1alpha1.TensorFlow && d.roll(2) == 0 {
		job.Spec.TensorFlow = &v1alpha1.TensorFlowSpec{ClusterSpec: "Sparse"}
	}
	job.Spec.RunPolicy = v1alpha1.RunPolicy{
		Suspend: new(d.roll(6) == 0), CleanPods: pick(d, v1alpha1.CleanAll, v1alpha1.CleanNone, v1alpha1.CleanRunning),
		TTLSecondsAfterFinished: pick(d, nil, new(int32(30))), ActiveDeadlineSeconds: pick(d, nil, nil, new(int32(600))),
		ProgressDeadlineSeconds: pick(d, nil, nil, nil, new(int32(300))),
		Restarts: v1alpha1.Restarts{
			Max: new(int32(d.roll(4))), Scope: pick(d, "", v1alpha1.ScopeReplica, v1alpha1.ScopeRole, v1alpha1.ScopeJob),
			BackoffSeconds: new(int32(d.roll(3) * 10)), WindowSeconds: pick(d, nil, nil, new(int32(60))),
		},
	}
	job.Spec.Scheduling = d.scheduling()
	return job
}

// scheduling asks for a gang now and then.
func (d *dice) scheduling() *v1alpha1.Scheduling {
	topology := pick(d, nil, nil, &v1alpha1.Topology{Key: "rack", Mode: v1alpha1.TopologyPreferred})
	if d.roll(2) == 0 {
		return pick(d, nil, &v1alpha1.Scheduling{Topology: topology})
	}
	names := []v1alpha1.GangScheduler{v1alpha1.GangAuto, v1alpha1.GangGuard, v1alpha1.GangVolcano, v1alpha1.GangNative}
	return &v1alpha1.Scheduling{Topology: topology, Gang: &v1alpha1.Gang{
		Scheduler: pick(d, names...), MinMember: pick(d, nil, new(int32(1))), TimeoutSeconds: new(int32(30)),
	}}
}

// life is a job in a world that the dice and the plans change.
type life struct {
	t        *testing.T
	dice     *dice
	job      *v1alpha1.TrainingJob
	pods     []corev1.Pod
	nodes    []corev1.Node
	now      time.Time
	failures int32
	made     int
	served   []schema.GroupVersionKind
	groups   []unstructured.Unstructured
	// queue is Kueue, if the job waits in a queue of it.
	queue *queueLife
	// bare is true while the Accelerator is not there, largest is its largest node, label what its nodes are chosen by.
	bare    bool
	largest int32
	label   string
}

// pass decides as the engine does, twice, and carries the plan out.
func (l *life) pass() engine.Plan {
	l.t.Helper()
	before := l.job.DeepCopy()
	world := l.world()
	plan := Plan(l.job, world, l.now)
	if diff := gocmp.Diff(plan, Plan(l.job, world, l.now)); diff != "" {
		l.t.Fatalf("two plans of one world differ:\n%s", diff)
	}
	l.check(plan)
	l.carryOut(plan)
	l.regroup(plan)
	if !mirrored(l.job, world) {
		Report(l.job, world, l.now)
	}
	if ended(before) && !gocmp.Equal(before.Status.Conditions, l.job.Status.Conditions) {
		l.t.Fatalf("the end was taken back:\n%s", gocmp.Diff(before.Status.Conditions, l.job.Status.Conditions))
	}
	for _, rec := range l.job.Status.Restarts {
		if rec.Count+rec.InPlace-rec.Forgiven > budget(l.job) && !ended(l.job) {
			l.t.Fatalf("%s restarted %d times, of %d", rec.Unit, rec.Count, budget(l.job))
		}
	}
	return plan
}

func (l *life) check(plan engine.Plan) {
	l.t.Helper()
	if plan.Again < 0 {
		l.t.Fatalf("wake me in %s", plan.Again)
	}
	taken := map[string]bool{}
	for _, p := range l.pods {
		taken[p.Name] = true
	}
	l.checkQueue(plan)
	for _, s := range plan.Create {
		if p, isPod := s.Object.(*corev1.Pod); isPod && p.Labels[names.Accelerator] == "" && l.asks(p) {
			l.t.Fatalf("pod %s would be made without its devices", p.Name)
		}
		if name := s.Object.GetName(); taken[name] || len(validation.IsDNS1123Label(name)) > 0 {
			l.t.Fatalf("cannot create %q", name)
		}
		taken[s.Object.GetName()] = true
	}
	for _, n := range l.job.Status.Nodes {
		if n.Verdict == v1alpha1.NodeBad && n.Until == nil && l.isIll(n.Name) {
			l.keptAway(plan, n.Name)
		}
	}
	for _, s := range plan.Delete {
		if s.Object.GetUID() == "" {
			l.t.Fatalf("%s would be deleted without a UID", s.Object.GetName())
		}
	}
}

// asks is true of a pod of a role that names an Accelerator.
func (l *life) asks(p *corev1.Pod) bool {
	return slices.ContainsFunc(l.job.Spec.Roles, func(r v1alpha1.Role) bool {
		return r.Accelerator != nil && names.Lower(r.Name) == p.Labels[names.Role]
	})
}

func (l *life) carryOut(plan engine.Plan) {
	if l.queue != nil {
		l.queue.carryOut(l.t, plan)
	}
	var left []corev1.Pod
	for _, p := range l.pods {
		gone := false
		for _, s := range plan.Delete {
			gone = gone || s.Object.GetUID() == p.UID
		}
		if !gone {
			left = append(left, p)
		}
	}
	for _, s := range plan.Create {
		p, ok := s.Object.DeepCopyObject().(*corev1.Pod)
		if !ok {
			continue // keys, which are not seen
		}
		l.made++
		p.UID = types.UID(fmt.Sprintf("pod-%d", l.made))
		p.Status.Phase, p.CreationTimestamp = corev1.PodPending, metav1.NewTime(l.now)
		left = append(left, *p)
	}
	l.pods = left
}

// happen lets one thing happen to one pod, or to the job.
func (l *life) happen() {
	l.now = l.now.Add(time.Duration(l.dice.roll(20)) * time.Second)
	l.happenToQueue()
	if l.dice.roll(12) == 0 {
		l.job.Spec.RunPolicy.Suspend = new(!suspended(l.job))
	}
	if l.dice.roll(10) == 0 {
		l.bare, l.largest, l.label = l.dice.roll(2) == 0, int32(4*l.dice.roll(3)), pick(l.dice, "a100", "a100-80")
	}
	if l.dice.roll(12) == 1 {
		l.breakOrMend()
	}
	if len(l.pods) == 0 {
		return
	}
	i := l.dice.roll(len(l.pods))
	if p := &l.pods[i]; l.dice.roll(8) == 0 || terminating(p) {
		l.pods = append(l.pods[:i], l.pods[i+1:]...)
	} else if !finished(p) {
		l.happenTo(p)
	}
}

func (l *life) happenTo(p *corev1.Pod) {
	end := func(code int32, message string) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Message: message, FinishedAt: metav1.NewTime(l.now)},
		}}}
	}
	switch l.dice.roll(11) {
	case 8:
		p.Status.Phase, p.Status.Reason = corev1.PodFailed, "UnexpectedAdmissionError"
		p.Spec.NodeName = fmt.Sprintf("node-%d", l.dice.roll(3))
	case 9:
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", AllocatedResourcesStatus: []corev1.ResourceStatus{{
			Name: "gpu", Resources: []corev1.ResourceHealth{{ResourceID: "0", Health: corev1.ResourceHealthStatusUnhealthy}},
		}}}}
	case 10:
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}
	case 0, 1, 2:
		p.Status.Phase = corev1.PodRunning
		if p.Spec.NodeName == "" {
			p.Spec.NodeName = fmt.Sprintf("node-%d", l.dice.roll(3))
		}
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	case 3:
		p.Status.Phase = corev1.PodSucceeded
	case 4:
		p.Status.Phase = corev1.PodFailed
		end(pick(l.dice, int32(1), 137), pick(l.dice, "", "Connection reset by peer"))
		l.failures++
	case 5:
		p.Status.Phase, p.Status.Reason = corev1.PodFailed, "Evicted"
	case 6:
		// The main container ends before another.
		p.Status.Phase = corev1.PodRunning
		end(pick(l.dice, int32(0), 1), "")
		l.failures++
	case 7:
		p.DeletionTimestamp = new(metav1.NewTime(l.now.Add(30 * time.Second)))
	}
}

// FuzzPlan plays lives: whatever happens to the pods, no decision is wrong in itself, and once nothing happens any more
// nothing more is planned.
func FuzzPlan(f *testing.F) {
	for seed := range 120 {
		bytes := make([]byte, 200)
		state := uint32(seed + 1)
		for i := range bytes {
			state = state*1664525 + 1013904223
			bytes[i] = byte(state >> 24)
		}
		f.Add(bytes)
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		// The fuzzer likes inputs of megabytes, and would play one life for minutes.
		d := dice(bytes[:min(len(bytes), 300)])
		l := &life{t: t, dice: &d, job: d.job(), now: noon, largest: 8, label: "a100"}
		if d.roll(2) == 0 {
			l.served = Optional
		}
		l.enterQueue()
		for len(d) > 0 {
			l.pass()
			l.happen()
		}
		l.job.Spec.RunPolicy.Suspend = new(false)
		l.admitAtLast()
		l.bare, l.largest = false, 8
		l.rest()
		l.checkAtRest()
	})
}

// checkAtRest: no more was charged than failed, and every pod is there that should be, where it may be.
func (l *life) checkAtRest() {
	l.t.Helper()
	charged := int32(0)
	for _, rec := range l.job.Status.Restarts {
		charged += rec.Count
	}
	if charged > l.failures {
		l.t.Fatalf("%d restarts were charged for %d failures", charged, l.failures)
	}
	l.checkQueueAtRest()
	s := look(l.job, l.world(), l.now)
	if ended(l.job) || s.parked || s.wait != nil && (s.gang == nil || !s.gang.row.Served(l.served)) {
		return
	}
	for _, r := range s.replicas {
		if _, displaced := s.displaced(r); displaced {
			l.t.Fatalf("at rest pod %s is where it must not be", r.Name())
		}
		if r.pod == nil && !r.done && !s.awaitsWorkers(r) {
			l.t.Fatalf("at rest there is no pod %s", r.Name())
		}
	}
}

// vanish ends what is terminating.
func (l *life) vanish() {
	l.pods = slices.DeleteFunc(l.pods, func(p corev1.Pod) bool { return terminating(&p) })
}

// writes counts what a plan writes but for keys, which are made once and not seen.
func writes(plan engine.Plan) int {
	n := len(plan.Delete) + len(plan.Patch)
	for _, s := range plan.Create {
		if _, isSecret := s.Object.(*corev1.Secret); !isSecret {
			n++
		}
	}
	return n
}

// rest lets time pass until nothing is planned.
func (l *life) rest() {
	l.t.Helper()
	for range 50 {
		l.letIn()
		status := l.job.DeepCopy()
		plan := l.pass()
		l.vanish()
		moved := false
		for i := range l.pods {
			if l.isIll(l.pods[i].Spec.NodeName) || l.pods[i].Spec.NodeName == "" {
				l.pods[i].Spec.NodeName, moved = "node-9", true // there is room for all in the end
			}
		}
		if writes(plan) == 0 && !moved && plan.Again == 0 && gocmp.Equal(status, l.job) {
			return
		}
		if len(plan.Delete) == 1 && plan.Delete[0].Object.GetUID() == l.job.UID {
			return // its time to live is over
		}
		l.now = l.now.Add(max(plan.Again, time.Second))
	}
	l.t.Fatal("it does not come to rest")
}
