// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/framework"
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

func (d *dice) job() *v1alpha1.TrainingJob {
	template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "pytorch", Image: "i"}}}}
	policies := []v1alpha1.RestartPolicy{"", v1alpha1.RestartNever, v1alpha1.RestartOnFailure, v1alpha1.RestartExitCode}
	job := &v1alpha1.TrainingJob{ObjectMeta: metav1.ObjectMeta{Name: "digits", Namespace: "team", UID: "uid"}}
	job.Spec.Framework = v1alpha1.PyTorch
	if d.roll(3) > 0 {
		job.Spec.Roles = append(job.Spec.Roles, v1alpha1.Role{Name: "Master", RestartPolicy: pick(d, policies...), Template: template})
	}
	worker := v1alpha1.Role{Name: "Worker", RestartPolicy: pick(d, policies...), Template: template}
	if d.roll(3) == 0 {
		job.Spec.PyTorch = &v1alpha1.PyTorchSpec{Elastic: &v1alpha1.Elastic{Replicas: int32(1 + d.roll(4))}}
	} else {
		worker.Replicas = new(int32(1 + d.roll(4)))
	}
	job.Spec.Roles = append(job.Spec.Roles, worker)
	job.Spec.RunPolicy = v1alpha1.RunPolicy{
		Suspend: new(d.roll(6) == 0), CleanPods: pick(d, v1alpha1.CleanAll, v1alpha1.CleanNone, v1alpha1.CleanRunning),
		TTLSecondsAfterFinished: pick(d, nil, new(int32(30))), ActiveDeadlineSeconds: pick(d, nil, nil, new(int32(600))),
		Restarts: v1alpha1.Restarts{
			Max: new(int32(d.roll(4))), Scope: pick(d, v1alpha1.ScopeReplica, v1alpha1.ScopeRole, v1alpha1.ScopeJob),
			BackoffSeconds: new(int32(d.roll(3) * 10)),
		},
	}
	return job
}

// life is a job in a world that the dice and the plans change.
type life struct {
	t        *testing.T
	dice     *dice
	job      *v1alpha1.TrainingJob
	pods     []corev1.Pod
	now      time.Time
	failures int32
	made     int
}

// pass decides as the engine does, twice, and carries the plan out.
func (l *life) pass() engine.Plan {
	l.t.Helper()
	before := l.job.DeepCopy()
	plan := Plan(l.job, World{Pods: l.pods}, l.now)
	if diff := gocmp.Diff(plan, Plan(l.job, World{Pods: l.pods}, l.now)); diff != "" {
		l.t.Fatalf("two plans of one world differ:\n%s", diff)
	}
	world := World{Pods: append([]corev1.Pod(nil), l.pods...)}
	l.check(plan)
	l.carryOut(plan)
	Report(l.job, world, l.now)
	if ended(before) && !gocmp.Equal(before.Status.Conditions, l.job.Status.Conditions) {
		l.t.Fatalf("the end was taken back:\n%s", gocmp.Diff(before.Status.Conditions, l.job.Status.Conditions))
	}
	for _, rec := range l.job.Status.Restarts {
		if rec.Count > budget(l.job) {
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
	for _, s := range plan.Create {
		if name := s.Object.GetName(); taken[name] || len(validation.IsDNS1123Label(name)) > 0 {
			l.t.Fatalf("cannot create %q", name)
		}
		taken[s.Object.GetName()] = true
	}
	for _, s := range plan.Delete {
		if s.Object.GetUID() == "" {
			l.t.Fatalf("%s would be deleted without a UID", s.Object.GetName())
		}
	}
}

func (l *life) carryOut(plan engine.Plan) {
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
		p := s.Object.(*corev1.Pod).DeepCopy()
		l.made++
		p.UID = types.UID(fmt.Sprintf("pod-%d", l.made))
		p.Status.Phase = corev1.PodPending
		left = append(left, *p)
	}
	l.pods = left
}

// happen lets one thing happen to one pod.
func (l *life) happen() {
	l.now = l.now.Add(time.Duration(l.dice.roll(20)) * time.Second)
	if len(l.pods) == 0 {
		return
	}
	i := l.dice.roll(len(l.pods))
	p := &l.pods[i]
	if finished(p) {
		return
	}
	end := func(code int32) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "pytorch", State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: code, FinishedAt: metav1.NewTime(l.now)},
		}}}
	}
	switch l.dice.roll(6) {
	case 0, 1:
		p.Status.Phase = corev1.PodRunning
	case 2:
		p.Status.Phase = corev1.PodSucceeded
	case 3:
		p.Status.Phase = corev1.PodFailed
		end(pick(l.dice, int32(1), 137))
		l.failures++
	case 4:
		p.Status.Phase, p.Status.Reason = corev1.PodFailed, "Evicted"
	case 5:
		l.pods = append(l.pods[:i], l.pods[i+1:]...)
	}
}

// FuzzPlan plays lives: whatever happens to the pods, no decision is wrong in itself, and once nothing happens any more
// nothing more is planned.
func FuzzPlan(f *testing.F) {
	for seed := range 40 {
		bytes := make([]byte, 200)
		state := uint32(seed + 1)
		for i := range bytes {
			state = state*1664525 + 1013904223
			bytes[i] = byte(state >> 24)
		}
		f.Add(bytes)
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		d := dice(bytes)
		l := &life{t: t, dice: &d, job: d.job(), now: noon}
		for len(d) > 0 {
			l.pass()
			l.happen()
		}
		l.rest()
		charged := int32(0)
		for _, rec := range l.job.Status.Restarts {
			charged += rec.Count
		}
		if charged > l.failures {
			t.Fatalf("%d restarts were charged for %d failures", charged, l.failures)
		}
		layout, _ := framework.Resolve(l.job)
		if !ended(l.job) && !suspended(l.job) && len(l.pods) != layout.Size() {
			t.Fatalf("at rest there are %d pods of %d", len(l.pods), layout.Size())
		}
	})
}

// rest lets time pass until nothing is planned.
func (l *life) rest() {
	l.t.Helper()
	for range 50 {
		status := l.job.DeepCopy()
		plan := l.pass()
		if plan.Empty() && plan.Again == 0 && gocmp.Equal(status, l.job) {
			return
		}
		if len(plan.Delete) == 1 && plan.Delete[0].Object.GetUID() == l.job.UID {
			return // its time to live is over
		}
		l.now = l.now.Add(max(plan.Again, time.Second))
	}
	l.t.Fatal("it does not come to rest")
}
