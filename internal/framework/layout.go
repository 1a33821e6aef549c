// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"cmp"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// Layout is a job with everything resolved that depends on its framework: roles in rank order, numbers of replicas,
// restart policies and ports.
type Layout struct {
	Job   *v1alpha1.TrainingJob
	Row   Row
	Roles []Role
}

// Role is a role of a layout.
type Role struct {
	v1alpha1.Role
	// Count is the number of replicas.
	Count int
	// Port is the rendezvous port of the role's pods.
	Port int32
	// Rank is the rank of the role's first replica.
	Rank int
	// Main is the index of the main container in the template.
	Main int
}

// MainName is the name of the main container.
func (r *Role) MainName() string {
	if r.Main >= len(r.Template.Spec.Containers) {
		return ""
	}
	return r.Template.Spec.Containers[r.Main].Name
}

// Devices is the number of devices of an Accelerator that each pod asks for, 0 for none.
func (r *Role) Devices() int32 {
	if r.Accelerator == nil {
		return 0
	}
	return max(1, r.Accelerator.Count)
}

// Member is one replica of a layout.
type Member struct {
	*Layout
	Role  *Role
	Index int
}

// Resolve lays a job out; false when this version of Millrace does not know the framework.
func Resolve(j *v1alpha1.TrainingJob) (*Layout, bool) {
	row, ok := Find(j.Spec.Framework)
	if !ok {
		return nil, false
	}
	l := &Layout{Job: j, Row: row}
	for _, r := range j.Spec.Roles {
		l.Roles = append(l.Roles, l.role(r))
	}
	slices.SortStableFunc(l.Roles, func(a, b Role) int { return row.place(a.Name) - row.place(b.Name) })
	next := 0
	for i := range l.Roles {
		l.Roles[i].Rank = next
		next += l.Roles[i].Count
	}
	return l, true
}

// place is where a role stands among the others.
func (r Row) place(role string) int {
	if i := slices.Index(r.Roles, role); i >= 0 {
		return i
	}
	return len(r.Roles)
}

func (l *Layout) role(r v1alpha1.Role) Role {
	out := Role{Role: r, Count: 1, Main: l.main(r)}
	if r.Replicas != nil {
		out.Count = int(*r.Replicas)
	}
	if e := ElasticOf(l.Job); e != nil && r.Name == "Worker" {
		out.Count = int(e.Replicas)
	}
	if out.RestartPolicy == "" {
		out.RestartPolicy = l.Row.Restart
	}
	out.Port = l.port(out)
	return out
}

// main is the container whose end is the replica's: the one with the framework's name, or else the first.
func (l *Layout) main(r v1alpha1.Role) int {
	if l.Row.Container == "" {
		return 0
	}
	named := slices.IndexFunc(r.Template.Spec.Containers, func(c corev1.Container) bool { return c.Name == l.Row.Container })
	return max(named, 0)
}

func (l *Layout) port(r Role) int32 {
	if r.Main >= len(r.Template.Spec.Containers) || l.Row.PortName == "" {
		return l.Row.Port
	}
	for _, p := range r.Template.Spec.Containers[r.Main].Ports {
		if p.Name == l.Row.PortName {
			return p.ContainerPort
		}
	}
	return l.Row.Port
}

// Find returns a role by name, or nil.
func (l *Layout) Find(role string) *Role {
	for i := range l.Roles {
		if l.Roles[i].Name == role {
			return &l.Roles[i]
		}
	}
	return nil
}

// Members are all replicas in rank order.
func (l *Layout) Members() []Member {
	var members []Member
	for i := range l.Roles {
		for index := range l.Roles[i].Count {
			members = append(members, Member{Layout: l, Role: &l.Roles[i], Index: index})
		}
	}
	return members
}

// Size is the number of replicas of all roles.
func (l *Layout) Size() int {
	size := 0
	for _, r := range l.Roles {
		size += r.Count
	}
	return size
}

// Deciders are the roles whose pods decide success, any of them, and the rule; none when no role of the job can decide.
func (l *Layout) Deciders() ([]*Role, Need) {
	for _, rule := range l.Row.Success {
		var found []*Role
		for _, name := range rule.Roles {
			if role := l.Find(name); role != nil {
				found = append(found, role)
			}
		}
		if len(found) > 0 {
			return found, rule.Need
		}
	}
	return nil, nil
}

// Scope is what restarts together when a replica fails.
func (l *Layout) Scope() v1alpha1.RestartScope {
	return cmp.Or(l.Job.Spec.RunPolicy.Restarts.Scope, l.Row.Scope)
}

// Spares is true for a role whose failures do not fail the job.
func (l *Layout) Spares(role string) bool { return l.Row.Spared != nil && l.Row.Spared(l.Job, role) }

// Name is the name of the member's pod.
func (m Member) Name() string { return names.Member(m.Job.Name, m.Role.Name, m.Index) }

// Rank is the member's place among all replicas, from 0.
func (m Member) Rank() int { return m.Role.Rank + m.Index }

// Host is the address of a pod of a role.
func (l *Layout) Host(role *Role, index int) string {
	return names.Host(names.Member(l.Job.Name, role.Name, index), l.Job.Name, l.Job.Namespace)
}

// hosts are the addresses of all pods of a role.
func (l *Layout) hosts(role *Role) []string {
	hosts := make([]string, role.Count)
	for i := range hosts {
		hosts[i] = l.Host(role, i)
	}
	return hosts
}

// endpoints are host:port of all pods of a role.
func (l *Layout) endpoints(role *Role) []string {
	found := make([]string, role.Count)
	for i := range found {
		found[i] = l.endpoint(role, i)
	}
	return found
}

func (l *Layout) endpoint(role *Role, index int) string {
	return l.Host(role, index) + ":" + strconv.Itoa(int(role.Port))
}

// Sets is true of a variable that the job gives to a member.
func (m Member) Sets(name string) bool {
	return slices.ContainsFunc(m.Row.Env, func(v Var) bool { return v.Name == name && v.Value(m) != nil })
}

// Reserved are the variables of the contract that a member gets and a user must not set. One that the member does not get
// is the user's: in a job without a Master, MASTER_ADDR may be set by hand.
func (l *Layout) Reserved(m Member) []string {
	var reserved []string
	for _, v := range l.Row.Env {
		if v.Instead != "" && v.Value(m) != nil {
			reserved = append(reserved, v.Name)
		}
	}
	return reserved
}
