// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"slices"

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
	slices.SortStableFunc(l.Roles, func(a, b Role) int {
		return slices.Index(row.Roles, a.Name) - slices.Index(row.Roles, b.Name)
	})
	next := 0
	for i := range l.Roles {
		l.Roles[i].Rank = next
		next += l.Roles[i].Count
	}
	return l, true
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
	named := slices.IndexFunc(r.Template.Spec.Containers, func(c corev1.Container) bool { return c.Name == l.Row.Container })
	return max(named, 0)
}

func (l *Layout) port(r Role) int32 {
	if r.Main >= len(r.Template.Spec.Containers) {
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

// Decider is the role whose pods decide success, and the rule.
func (l *Layout) Decider() (*Role, Need) {
	for _, rule := range l.Row.Success {
		if role := l.Find(rule.Role); role != nil {
			return role, rule.Need
		}
	}
	return nil, nil
}

// Name is the name of the member's pod.
func (m Member) Name() string { return names.Member(m.Job.Name, m.Role.Name, m.Index) }

// Rank is the member's place among all replicas, from 0.
func (m Member) Rank() int { return m.Role.Rank + m.Index }

func (m Member) host(role *Role) string {
	return names.Host(names.Member(m.Job.Name, role.Name, 0), m.Job.Name, m.Job.Namespace)
}

// Reserved are the variables of the contract that a member gets and a user must not set. One that the member does not get
// is the user's: in a job without a Master, MASTER_ADDR may be set by hand.
func (l *Layout) Reserved(m Member) []string {
	var reserved []string
	for _, v := range l.Row.Env {
		if v.Instead != "" && v.Value(m) != "" {
			reserved = append(reserved, v.Name)
		}
	}
	return reserved
}
