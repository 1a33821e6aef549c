// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/millrace-ml/millrace/internal/engine"
	"github.com/millrace-ml/millrace/internal/framework"
	"github.com/millrace-ml/millrace/internal/gang"
)

// eventRegroup is the reason of events that tell of groups that are over.
const eventRegroup = "GangEnded"

// assemble plans the object that stands for the gang, and the end of those that did before.
func (s *state) assemble(plan *engine.Plan) {
	q := s.gang
	for i := range s.world.Groups {
		if o := &s.world.Groups[i]; q == nil || !s.stands(q, o) {
			plan.Delete = append(plan.Delete, disband(o)...)
		}
	}
	if q == nil {
		return
	}
	plan.Again = engine.Soonest(plan.Again, s.untilRelease())
	if q.row.Grouped() && q.row.Served(s.world.Served) && s.formed() {
		g := q.Gang
		s.require(&g)
		g.MinMember = min(g.MinMember, s.toPlace())
		plan.Apply = append(plan.Apply, q.row.Group(g))
	}
}

// formed is true when it is known what the pods of all roles ask for. A group that was made before an Accelerator was gone stays as it is.
func (s *state) formed() bool {
	return !slices.ContainsFunc(s.layout.Roles, func(r framework.Role) bool { return r.Accelerator != nil && s.asks(&r, "").Of == nil })
}

// require adds up what the pods of the minimum ask for, with their devices: those of the roles' minimums, or else the first in
// rank order.
func (s *state) require(g *gang.Gang) {
	left := g.MinMember
	for i := range s.layout.Roles {
		role := &s.layout.Roles[i]
		if s.layout.WaitsForOthers(role) {
			continue
		}
		n := min(left, count(s.layout, role))
		if len(g.Roles) > 0 {
			n = least(s.layout, role)
		}
		g.Require(&s.make(replica{Member: framework.Member{Layout: s.layout, Role: role}}).Spec, n)
		left -= n
	}
}

// disband removes a group.
func disband(o *unstructured.Unstructured) []engine.Step {
	if o.GetDeletionTimestamp() != nil {
		return nil
	}
	return []engine.Step{{Object: o, Reason: eventRegroup}}
}

// disbandAll removes the groups of a job that has no use for them.
func disbandAll(plan *engine.Plan, w World) {
	for i := range w.Groups {
		plan.Delete = append(plan.Delete, disband(&w.Groups[i])...)
	}
}

// toPlace bounds the minimum while a replica waits for a place after others have succeeded: their pods do not count for every
// scheduler, which would wait for them for ever.
func (s *state) toPlace() int32 {
	active, waiting := int32(0), false
	for _, r := range s.replicas {
		if r.succeeded() {
			continue
		}
		active++
		waiting = waiting || !r.current() || !hasNode(r.pod)
	}
	if !waiting {
		return int32(len(s.replicas))
	}
	return max(1, active)
}

// letIn are the groups a plan asks for as they are when their schedulers have taken them in.
func letIn(plan engine.Plan) []unstructured.Unstructured {
	var groups []unstructured.Unstructured
	for _, o := range plan.Apply {
		group, ok := o.(*unstructured.Unstructured)
		if !ok {
			continue
		}
		group = group.DeepCopy()
		if row, found := gang.Of(group.GroupVersionKind()); found && row.Admitted != nil {
			row.Admitted(group)
		}
		groups = append(groups, *group)
	}
	return groups
}
