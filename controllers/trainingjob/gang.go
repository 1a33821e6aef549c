// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/gang"
)

// defaultTimeout is the schema's default of spec.scheduling.gang.timeoutSeconds, for objects that were never defaulted.
const defaultTimeout = 300

// squad is the gang of a job and how much of it is placed.
type squad struct {
	gang.Gang
	row gang.Row
	// group is the object that stands for the gang, nil when there is none yet.
	group *unstructured.Unstructured
	// placed are replicas that have, or had, a node; of each role that has a minimum no more than that.
	placed int32
}

// whole is true when the minimum is placed.
func (q *squad) whole() bool { return q.placed >= q.MinMember }

// muster finds the gang of a job, nil when it asks for none, and what of it is placed.
func (s *state) muster() *squad {
	g, asked := gangOf(s.layout)
	if !asked {
		return nil
	}
	q := &squad{Gang: g, row: placer(s.job, g, s.world), placed: s.placed(g.Roles)}
	if inKueue(s.job, s.world) {
		q.Queue, q.Topology = "", nil // they are Kueue's
	}
	if q.row.Name == v1alpha1.GangGuard {
		s.follow(q)
	}
	for i := range s.world.Groups {
		if o := &s.world.Groups[i]; s.stands(q, o) {
			q.group = o
		}
	}
	q.Level = q.row.Locate(q.Topology, q.group, s.world.Fabrics)
	return q
}

// follow makes those that wait for others members once their turn has come: without a place for its launcher a gang holds its
// nodes in vain.
func (s *state) follow(q *squad) {
	members, placed := int32(0), int32(0)
	for _, r := range s.replicas {
		if !s.layout.WaitsForOthers(r.Role) || r.done || !r.current() && s.awaitsWorkers(r) {
			continue
		}
		members++
		if r.current() && hasNode(r.pod) {
			placed++
		}
	}
	if members > 0 {
		q.placed, q.MinMember = min(q.placed, q.MinMember)+placed, q.MinMember+members
	}
}

// stands is true for the object that stands for the gang in this attempt.
func (s *state) stands(q *squad, o *unstructured.Unstructured) bool {
	return o.GroupVersionKind() == q.row.Kind && o.GetName() == q.row.GroupName(q.Gang)
}

// gangOf is what a job asks of whatever places it.
func gangOf(l *framework.Layout) (gang.Gang, bool) {
	scheduling := l.Job.Spec.Scheduling
	if scheduling == nil || scheduling.Gang == nil {
		return gang.Gang{}, false
	}
	g := gang.Gang{
		Owner: l.Job.Name, Namespace: l.Job.Namespace, Labels: ownLabels(l.Job), Attempt: placements(l.Job),
		Timeout: defaultTimeout, Queue: scheduling.Queue, Topology: scheduling.Topology,
	}
	if t := scheduling.Gang.TimeoutSeconds; t != nil {
		g.Timeout = *t
	}
	for i := range l.Roles {
		n := least(l, &l.Roles[i])
		g.MinMember += n
		if len(scheduling.Gang.Roles) > 0 && n > 0 {
			g.Roles = append(g.Roles, gang.Role{Name: l.Roles[i].Name, MinMember: n})
		}
	}
	if n := scheduling.Gang.MinMember; n != nil {
		g.MinMember = min(*n, atStart(l, count))
	}
	g.Priority, g.Mixed = priority(l)
	return g, true
}

// least is the minimum of a role: what the job says, or else all of it, or as many elastic workers as can train.
func least(l *framework.Layout, r *framework.Role) int32 {
	if l.WaitsForOthers(r) {
		return 0
	}
	for _, of := range l.Job.Spec.Scheduling.Gang.Roles {
		if of.Name == r.Name {
			return min(of.MinMember, count(l, r))
		}
	}
	if e := framework.ElasticOf(l.Job); e != nil && r.Name == "Worker" && e.MinReplicas != nil {
		return min(*e.MinReplicas, count(l, r))
	}
	return count(l, r)
}

// atStart is the number of pods that are made at the start, each role counted by a function. A launcher that waits until
// its workers are ready is not among them: a gang that waited for it would never be placed.
func atStart(l *framework.Layout, by func(*framework.Layout, *framework.Role) int32) int32 {
	total := int32(0)
	for i := range l.Roles {
		if !l.WaitsForOthers(&l.Roles[i]) {
			total += by(l, &l.Roles[i])
		}
	}
	return total
}

func count(_ *framework.Layout, r *framework.Role) int32 { return int32(r.Count) }

// most is the largest number of pods a role can have.
func most(l *framework.Layout, r *framework.Role) int32 {
	if e := framework.ElasticOf(l.Job); e != nil && r.Name == "Worker" && e.MaxReplicas != nil {
		return max(*e.MaxReplicas, count(l, r))
	}
	return count(l, r)
}

// priority is the PriorityClass of the pods, and whether they have several.
func priority(l *framework.Layout) (class string, mixed bool) {
	for i := range l.Roles {
		of := l.Roles[i].Template.Spec.PriorityClassName
		if of == "" {
			of = l.Job.Spec.Scheduling.PriorityClassName
		}
		mixed = mixed || i > 0 && of != class
		class = of
	}
	return class, mixed
}

// placements counts how often all pods of a job were placed anew.
func placements(job *v1alpha1.TrainingJob) int32 {
	total := job.Status.Suspensions + releases(job)
	for _, rec := range job.Status.Restarts {
		if rec.Unit == jobUnit {
			total += rec.Count + rec.Lost
		}
	}
	return total
}

// placer is what places a gang. A job that has pods or a group stays with what it has: half of a gang in the hands of another
// scheduler is none.
func placer(job *v1alpha1.TrainingJob, g gang.Gang, w World) gang.Row {
	if prior := job.Status.Gang; prior != nil {
		row, known := gang.Find(prior.Scheduler)
		has := slices.ContainsFunc(w.Groups, func(o unstructured.Unstructured) bool { return o.GroupVersionKind() == row.Kind })
		if known && (has || len(w.Pods) > 0) {
			return row
		}
	}
	return w.Gangs.Choose(job.Spec.Scheduling.Gang.Scheduler, g, w.Served)
}

// placed counts replicas that have, or had, a node; of each role with a minimum no more than that, and none that waits for others.
func (s *state) placed(roles []gang.Role) int32 {
	by := map[string]int32{}
	for _, r := range s.replicas {
		if !s.layout.WaitsForOthers(r.Role) && (r.done || r.current() && hasNode(r.pod)) {
			by[r.Role.Name]++
		}
	}
	total := int32(0)
	for role, n := range by {
		i := slices.IndexFunc(roles, func(r gang.Role) bool { return r.Name == role })
		if i >= 0 {
			n = min(n, roles[i].MinMember)
		}
		if i >= 0 || len(roles) == 0 {
			total += n
		}
	}
	return total
}

// hasNode is true for a pod that has, or had, a node.
func hasNode(p *corev1.Pod) bool {
	return p.Spec.NodeName != "" || p.Status.Phase == corev1.PodRunning || finished(p)
}

// join makes a pod a member of the gang.
func join(s *state, m framework.Member, p *corev1.Pod) {
	q := s.gang
	if q == nil {
		return
	}
	if p.Spec.SchedulerName == "" {
		p.Spec.SchedulerName = s.world.Gangs.SchedulerName(q.row)
	}
	if q.row.Join != nil {
		q.row.Join(q.Gang, q.row.GroupName(q.Gang), m.Role.Name, p)
	}
}

// awaitsPlacer: the API of what places the gang is not there.
func awaitsPlacer(s *state) (wait, bool) {
	q := s.gang
	if q == nil || q.row.Served(s.world.Served) {
		return wait{}, false
	}
	kind := q.row.Kind
	return wait{
		status: no, reason: v1alpha1.ReasonGangWaiting,
		message: fmt.Sprintf("spec.scheduling.gang.scheduler: the gang is %s's to place, and the cluster does not serve %s of %s: install it, or create the job again with another scheduler.",
			q.row.Name, kind.Kind, kind.GroupVersion()),
	}, true
}

// awaitsGroup: the scheduler has not taken the gang in.
func awaitsGroup(s *state) (wait, bool) {
	q := s.gang
	if q == nil || !q.row.Grouped() {
		return wait{}, false
	}
	if q.group != nil && q.group.GetDeletionTimestamp() != nil {
		return wait{status: unknown, reason: v1alpha1.ReasonGangWaiting, message: "PodGroup " + q.group.GetName() + " of before is ending and is made anew then."}, true
	}
	if q.row.Admits == nil {
		return wait{}, false
	}
	why := q.row.Admits(q.Gang, q.group)
	w := wait{status: unknown, reason: v1alpha1.ReasonGangWaiting, message: why}
	if says := q.row.Says(q.group); says != "" {
		w.status, w.message = no, why+" "+says
	}
	return s.untouched(w), why != ""
}

// cannotPlace is the condition of a gang whose scheduler finds no room for the minimum.
func (s *state) cannotPlace() (metav1.Condition, bool) {
	q := s.gang
	if q == nil || q.whole() || s.wait != nil {
		return metav1.Condition{}, false
	}
	why := q.row.Says(q.group)
	if why == "" {
		why, _ = s.find(unschedulable)
	}
	message := fmt.Sprintf("%s cannot place the %d pods that are needed together: %s", q.row.Name, q.MinMember, why)
	return condition(v1alpha1.ConditionScheduled, no, v1alpha1.ReasonGangUnschedulable, s.avoiding(message)), why != ""
}

// formation records what places the gang, and how much of it is placed.
func (s *state) formation() {
	if s.gang == nil {
		return
	}
	g := s.standing()
	g.Scheduler, g.Group, g.MinMember, g.Placed = s.gang.row.Name, s.gang.row.GroupName(s.gang.Gang), s.gang.MinMember, s.gang.placed
	if s.halted() {
		g.Placed = 0
	}
	if s.gang.whole() || s.halted() {
		g.NextTry, g.Short = nil, ""
	}
}

// standing is the record of the gang in the status.
func (s *state) standing() *v1alpha1.GangStatus {
	if s.job.Status.Gang == nil {
		s.job.Status.Gang = &v1alpha1.GangStatus{}
	}
	return s.job.Status.Gang
}
