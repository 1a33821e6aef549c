// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"
	"math/rand"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/engine"
)

const (
	// gracePeriod is how long a deleted pod still holds its node.
	gracePeriod = 3 * time.Second
	// endOfTime is when jobs that have not run never will.
	endOfTime = 12 * time.Hour
)

// arena is a cluster in memory with a scheduler that places pods one by one, in any order, and knows nothing of gangs; or one that
// places them whole, by the objects that stand for them.
type arena struct {
	t     *testing.T
	by    v1alpha1.GangScheduler
	rand  *rand.Rand
	now   time.Time
	nodes int
	// quota is how many pods the API server lets there be; 0 for any number.
	quota int
	jobs  []*contender
	made  int
	// releases is the sum of all jobs'.
	releases int32
}

// contender is a job in an arena.
type contender struct {
	job      *v1alpha1.TrainingJob
	pods     []corev1.Pod
	arrives  time.Time
	takes    time.Duration
	wake     time.Time
	dirty    bool
	ranSince time.Time
	// holding is since when it holds nodes and has not all it needs.
	holding time.Time
	// launched is when its launcher was made.
	launched time.Time
	// hopeless is true for a job that is larger than the cluster.
	hopeless bool
	groups   []unstructured.Unstructured
}

func newArena(t *testing.T, seed int64, nodes int) *arena {
	return &arena{t: t, by: v1alpha1.GangGuard, rand: rand.New(rand.NewSource(seed)), now: noon, nodes: nodes}
}

// enter adds a job of so many pods.
func (a *arena) enter(name string, size int, after, takes time.Duration) *contender {
	job := &v1alpha1.TrainingJob{ObjectMeta: metav1.ObjectMeta{
		Name: name, Namespace: "team", UID: types.UID("uid-" + name), CreationTimestamp: metav1.NewTime(a.now.Add(after)),
	}}
	job.Spec.Framework = v1alpha1.PyTorch
	template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "pytorch", Image: "i"}}}}
	job.Spec.Roles = []v1alpha1.Role{{Name: "Worker", Replicas: new(int32(size)), Template: template}}
	job.Spec.Scheduling = &v1alpha1.Scheduling{Gang: &v1alpha1.Gang{Scheduler: a.by, TimeoutSeconds: new(int32(60))}}
	job.Spec.RunPolicy.CleanPods = v1alpha1.CleanRunning
	c := &contender{job: job, arrives: a.now.Add(after), takes: takes, dirty: true}
	a.jobs = append(a.jobs, c)
	return c
}

// launch makes the job one of MPI, whose launcher is made when its workers are ready.
func (c *contender) launch() {
	worker := &c.job.Spec.Roles[0]
	worker.Template.Spec.Containers[0].Name = "mpi"
	launcher := v1alpha1.Role{Name: "Launcher", Template: worker.Template}
	*worker.Replicas--
	c.job.Spec.Framework, c.job.Spec.Roles = v1alpha1.MPI, []v1alpha1.Role{launcher, *worker}
}

// size is the number of pods of the job.
func (c *contender) size() int {
	n := 0
	for _, role := range c.job.Spec.Roles {
		if role.Replicas == nil {
			n++
			continue
		}
		n += int(*role.Replicas)
	}
	return n
}

// play lets time pass until every job has succeeded.
func (a *arena) play() {
	a.t.Helper()
	for !a.over() {
		if a.now.Sub(noon) > endOfTime {
			a.t.Fatalf("after %s not every job has run:\n%s", endOfTime, a)
		}
		a.kubelet()
		a.schedule()
		if a.by != v1alpha1.GangGuard {
			a.whole()
		}
		for _, c := range a.jobs {
			if !a.now.Before(c.arrives) {
				a.control(c)
				a.explains(c)
			}
		}
		a.now = a.now.Add(time.Second)
	}
	for _, c := range a.jobs {
		a.releases += releases(c.job)
		if c.job.Status.RestartCount != 0 {
			a.t.Errorf("%s is charged with restarts: %+v", c.job.Name, c.job.Status.Restarts)
		}
	}
}

func (a *arena) over() bool {
	return !slices.ContainsFunc(a.jobs, func(c *contender) bool { return !c.hopeless && !ended(c.job) })
}

func (a *arena) String() string {
	var b strings.Builder
	for _, c := range a.jobs {
		fmt.Fprintf(&b, "%s: %s, %d pods, gang %+v\n", c.job.Name, c.job.Status.Phase, len(c.pods), c.job.Status.Gang)
	}
	return b.String()
}

// kubelet ends what is to end, and lets a job succeed that has run for long enough.
func (a *arena) kubelet() {
	for _, c := range a.jobs {
		before := len(c.pods)
		c.pods = slices.DeleteFunc(c.pods, func(p corev1.Pod) bool { return terminating(&p) && !a.now.Before(p.DeletionTimestamp.Time) })
		c.dirty = c.dirty || len(c.pods) != before
		running := len(c.pods) == c.size() && !slices.ContainsFunc(c.pods, func(p corev1.Pod) bool { return terminating(&p) || p.Spec.NodeName == "" })
		switch {
		case !running:
			c.ranSince = time.Time{}
		case c.ranSince.IsZero():
			c.ranSince = a.now
		case a.now.Sub(c.ranSince) >= c.takes:
			for i := range c.pods {
				c.pods[i].Status.Phase, c.dirty = corev1.PodSucceeded, true
			}
		}
	}
}

// schedule gives free nodes to pods in an order of chance.
func (a *arena) schedule() {
	if a.by != v1alpha1.GangGuard {
		a.scheduleWhole()
		return
	}
	free := a.nodes
	type place struct {
		of *contender
		at int
	}
	var waiting []place
	for _, c := range a.jobs {
		for i := range c.pods {
			p := &c.pods[i]
			switch {
			case p.Spec.NodeName != "" && !finished(p):
				free--
			case p.Spec.NodeName == "" && !terminating(p):
				waiting = append(waiting, place{c, i})
			}
		}
	}
	if free < 0 {
		a.t.Fatal("more pods run than there are nodes")
	}
	a.rand.Shuffle(len(waiting), func(i, j int) { waiting[i], waiting[j] = waiting[j], waiting[i] })
	for n, at := range waiting {
		p, verdict := &at.of.pods[at.at], corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(a.now)}
		if n >= free {
			verdict = corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "no free node"}
		} else {
			p.Spec.NodeName, p.Status.Phase = "node", corev1.PodRunning
		}
		at.of.dirty = at.of.dirty || n < free || len(p.Status.Conditions) == 0
		p.Status.Conditions = []corev1.PodCondition{verdict, {Type: corev1.PodReady, Status: verdict.Status}}
	}
}

// control passes over a job as the engine does: when something of it changed, or when its time has come.
func (a *arena) control(c *contender) {
	a.watch(c)
	due := !c.wake.IsZero() && !a.now.Before(c.wake)
	if !c.dirty && !due {
		return
	}
	world := a.offer(c)
	for _, other := range a.jobs {
		if w, waits := rivalOf(other.job); waits {
			world.Rivals = append(world.Rivals, w)
		}
	}
	before := c.job.DeepCopy()
	plan := Plan(c.job, world, a.now)
	for _, d := range plan.Delete {
		for i := range c.pods {
			if p := &c.pods[i]; p.UID == d.Object.GetUID() {
				p.DeletionTimestamp = new(metav1.NewTime(a.now.Add(gracePeriod)))
				if p.Spec.NodeName == "" {
					p.DeletionTimestamp = new(metav1.NewTime(a.now))
				}
			}
		}
	}
	c.groups = regrouped(c.groups, plan, &a.made)
	refused := a.create(c, plan)
	Report(c.job, world, a.now)
	c.dirty = len(plan.Delete)+len(plan.Create) > 0 || !reflect.DeepEqual(before.Status, c.job.Status)
	c.wake = time.Time{}
	if refused { // a refused write is tried again after a while
		plan.Again = engine.Soonest(plan.Again, 30*time.Second)
	}
	if plan.Again > 0 {
		c.wake = a.now.Add(plan.Again)
	}
}

// create makes pods as long as the quota lets it, and says whether one was refused.
func (a *arena) create(c *contender, plan engine.Plan) (refused bool) {
	for _, s := range plan.Create {
		p, isPod := s.Object.DeepCopyObject().(*corev1.Pod)
		if !isPod {
			continue
		}
		if a.full() {
			return true
		}
		a.made++
		p.UID, p.CreationTimestamp, p.Status.Phase = types.UID(fmt.Sprint(a.made)), metav1.NewTime(a.now), corev1.PodPending
		c.pods = append(c.pods, *p)
	}
	return false
}

// full is true when the quota lets no further pod be made.
func (a *arena) full() bool {
	used := 0
	for _, c := range a.jobs {
		for i := range c.pods {
			if !finished(&c.pods[i]) {
				used++
			}
		}
	}
	return a.quota > 0 && used >= a.quota
}

// watch fails when a job keeps a part of its places for longer than its timeout. A launcher has its own time, when its workers have
// found their places.
func (a *arena) watch(c *contender) {
	a.t.Helper()
	placed := 0
	for i := range c.pods {
		if finished(&c.pods[i]) {
			return
		}
		if strings.Contains(c.pods[i].Name, "-launcher-") {
			c.launched = c.pods[i].CreationTimestamp.Time
		}
		if c.pods[i].Spec.NodeName != "" {
			placed++
		}
	}
	size := c.size()
	if placed == 0 || placed == size || ended(c.job) {
		c.holding = time.Time{}
		return
	}
	if c.holding.IsZero() {
		c.holding = a.now
	}
	const slack = gracePeriod + 3*time.Second
	if held := a.now.Sub(later(c.holding, c.launched)); held > 60*time.Second+slack {
		a.t.Fatalf("%s holds %d of %d places for %s:\n%s", c.job.Name, placed, size, held, a)
	}
}

// Whatever gangs come to a cluster that has not room for all of them: each has run in the end, and none keeps a part of its
// places for longer than its timeout.
func TestGuardedGangsAllRunInTheEnd(t *testing.T) {
	total := int32(0)
	for seed := range int64(80) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			dice := rand.New(rand.NewSource(seed))
			a := newArena(t, seed, 2+dice.Intn(7))
			for i := range 2 + dice.Intn(7) {
				size := 1 + dice.Intn(a.nodes)
				if dice.Intn(3) == 0 {
					size = a.nodes
				}
				after := time.Duration(dice.Intn(90)) * time.Second * time.Duration(dice.Intn(2))
				c := a.enter(fmt.Sprintf("job-%d", i), size, after, time.Duration(1+dice.Intn(200))*time.Second)
				if size > 1 && dice.Intn(4) == 0 {
					c.launch()
				}
			}
			if dice.Intn(2) == 0 { // then the quota is what is short
				a.quota, a.nodes = a.nodes, 2*a.nodes
			}
			a.play()
			total += a.releases
		})
	}
	if total == 0 {
		t.Error("no gang was ever in the way of another: nothing was tested")
	}
}

// Two gangs that each hold half of what they need: one lets go, once, after half of its time, and both have run soon after.
func TestOfTwoHalvesOneLetsGo(t *testing.T) {
	a := newArena(t, 0, 4)
	older, younger := a.enter("older", 3, 0, time.Minute), a.enter("younger", 3, time.Second, time.Minute)
	for _, c := range a.jobs {
		a.now = c.arrives
		a.control(c)
		c.pods = c.pods[:3]
		for i := range 2 {
			c.pods[i].Spec.NodeName, c.pods[i].Status.Phase = "node", corev1.PodRunning
		}
		c.dirty = true
	}
	a.play()
	if releases(older.job) != 0 || releases(younger.job) == 0 {
		t.Errorf("the older was released %d times and the younger %d", releases(older.job), releases(younger.job))
	}
	if took := older.job.Status.CompletionTime.Sub(noon); took > 2*time.Minute {
		t.Errorf("the older took %s", took)
	}
}

// Two gangs of four in a namespace of six pods: the API server refuses both the last pod, and neither keeps what it has for ever.
func TestAGangLetsGoThatAQuotaKeepsFromBeingMade(t *testing.T) {
	a := newArena(t, 0, 8)
	a.quota = 6
	for _, name := range []string{"one", "other"} {
		a.now = a.enter(name, 4, 0, time.Minute).arrives
	}
	for _, c := range a.jobs {
		a.control(c)
		c.pods, c.dirty = c.pods[:3], true // both make their pods a few at a time
	}
	a.play()
	if a.releases == 0 {
		t.Error("both have run, and neither let go")
	}
}

// Two jobs of MPI whose workers fill the cluster have no place for their launchers.
func TestAGangLetsGoWhoseLauncherFindsNoPlace(t *testing.T) {
	a := newArena(t, 0, 6)
	for _, name := range []string{"one", "other"} {
		a.enter(name, 4, 0, time.Minute).launch()
	}
	a.play()
	if a.releases == 0 {
		t.Error("both have run, and neither let go")
	}
}
