// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"cmp"
	"fmt"
	"math/rand"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/gang"
)

// offer is what a job of an arena sees: its pods, what stands for its gang, and the gangs that wait beside it.
func (a *arena) offer(c *contender) World {
	w := World{Pods: slices.Clone(c.pods), Groups: slices.Clone(c.groups)}
	if row, _ := gang.Find(a.by); row.Grouped() {
		w.Served = append(w.Served, row.Kind)
	}
	return w
}

// scheduleWhole gives nodes to gangs in an order of chance, to the minimum of each that its object names, or to none of it.
func (a *arena) scheduleWhole() {
	free := a.nodes
	for _, c := range a.jobs {
		free -= c.placed()
	}
	for _, i := range a.rand.Perm(len(a.jobs)) {
		c := a.jobs[i]
		var waiting []*corev1.Pod
		for k := range c.pods {
			if p := &c.pods[k]; p.Spec.NodeName == "" && !terminating(p) {
				waiting = append(waiting, p)
			}
		}
		least := c.least() - c.placed()
		if len(waiting) == 0 || len(waiting) < least {
			continue // as long as pods are missing no scheduler looks at the others
		}
		if free < len(waiting) && free < max(1, least) {
			c.verdict(waiting, corev1.ConditionFalse, a.now)
			continue
		}
		placed := waiting[:min(free, len(waiting))]
		c.verdict(placed, corev1.ConditionTrue, a.now)
		c.verdict(waiting[len(placed):], corev1.ConditionFalse, a.now)
		free -= len(placed)
	}
}

// verdict is what the scheduler says of pods.
func (c *contender) verdict(pods []*corev1.Pod, status corev1.ConditionStatus, now time.Time) {
	for _, p := range pods {
		c.dirty = c.dirty || len(p.Status.Conditions) == 0 || status == corev1.ConditionTrue
		said := corev1.PodCondition{Type: corev1.PodScheduled, Status: status, LastTransitionTime: metav1.NewTime(now)}
		if status == corev1.ConditionTrue {
			p.Spec.NodeName, p.Status.Phase = "node", corev1.PodRunning
		} else {
			said.Reason, said.Message = corev1.PodReasonUnschedulable, "no free nodes for the gang"
		}
		p.Status.Conditions = []corev1.PodCondition{said, {Type: corev1.PodReady, Status: status}}
	}
}

// placed is how many pods hold a node.
func (c *contender) placed() int {
	n := 0
	for i := range c.pods {
		if p := &c.pods[i]; p.Spec.NodeName != "" && !finished(p) {
			n++
		}
	}
	return n
}

// least is the minimum that the object of the gang names; more than any job has where there is none.
func (c *contender) least() int {
	for _, g := range c.groups {
		for _, path := range [][]string{{"spec", "minMember"}, {"spec", "schedulingPolicy", "gang", "minCount"}} {
			if n, found, _ := unstructured.NestedInt64(g.Object, path...); found {
				return int(n)
			}
		}
	}
	return 1 << 20
}

// whys are the reasons by which a job says why its pods have no nodes.
var whys = []string{v1alpha1.ReasonGangUnschedulable, v1alpha1.ReasonGangReleased, v1alpha1.ReasonUnschedulable, v1alpha1.ReasonQuotaExceeded}

// explains: a job that has passed since the scheduler found no place for one of its pods says so.
func (a *arena) explains(c *contender) {
	a.t.Helper()
	refused := slices.ContainsFunc(c.pods, func(p corev1.Pod) bool {
		_, without := unschedulable(&p)
		return without && !terminating(&p) && attemptOf(&p) == recorded(c.job)
	})
	said := meta.FindStatusCondition(c.job.Status.Conditions, v1alpha1.ConditionScheduled)
	if refused && !ended(c.job) && (said == nil || said.Status != no || !slices.Contains(whys, said.Reason) || said.Message == "") {
		a.t.Fatalf("%s does not say why it has no nodes: %+v\n%s", c.job.Name, said, a)
	}
}

// whole fails when a part of a gang is placed by a scheduler that places gangs.
func (a *arena) whole() {
	a.t.Helper()
	for _, c := range a.jobs {
		if n := c.placed(); n > 0 && n < c.size() && !ended(c.job) && len(c.pods) == c.size() {
			a.t.Fatalf("%s holds %d of %d places:\n%s", c.job.Name, n, c.size(), a)
		}
	}
}

// crowd lets jobs of random sizes arrive at random, some of them larger than the cluster.
func (a *arena) crowd(dice *rand.Rand) {
	for i := range 2 + dice.Intn(9) {
		size := 1 + dice.Intn(a.nodes)
		after := time.Duration(dice.Intn(600)) * time.Second * time.Duration(dice.Intn(2))
		hopeless := dice.Intn(4) == 0
		if hopeless {
			size = a.nodes + 1 + dice.Intn(3)
		}
		c := a.enter(fmt.Sprintf("job-%d", i), size, after, time.Duration(1+dice.Intn(200))*time.Second)
		c.hopeless = hopeless
	}
}

// Whatever places gangs, those that fit have all run in the end, though others are there that never will; no gang is placed in part, or
// by Guard for longer than its timeout; and whoever has no nodes says why.
func TestGangsRunBesideThoseThatNeverCan(t *testing.T) {
	for _, row := range gang.Rows() {
		if row.Name == v1alpha1.GangKueue {
			continue // its jobs have no pods before they are admitted
		}
		t.Run(string(row.Name), func(t *testing.T) {
			for seed := range int64(25) {
				dice := rand.New(rand.NewSource(seed))
				a := newArena(t, seed, 2+dice.Intn(7))
				a.by = row.Name
				a.crowd(dice)
				a.play()
				a.neverRan(row.Name)
			}
		})
	}
}

// neverRan: the jobs that are too large are there still, hold nothing for long, and say why.
func (a *arena) neverRan(by v1alpha1.GangScheduler) {
	a.t.Helper()
	for _, c := range a.jobs {
		if !c.hopeless || a.now.Before(c.arrives.Add(2*time.Minute)) {
			continue
		}
		said := meta.FindStatusCondition(c.job.Status.Conditions, v1alpha1.ConditionScheduled)
		if ended(c.job) || said == nil || said.Status != no || !slices.Contains(whys, said.Reason) {
			a.t.Errorf("%s: %s, which is too large, says %+v", by, c.job.Name, cmp.Or(said, &metav1.Condition{}))
		}
	}
}
