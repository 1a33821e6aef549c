// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package profile says who may do what in the namespace of a Profile, and what the manager's configuration adds to all of them.
// Everything in it is pure.
package profile

import (
	"cmp"
	"slices"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// Service accounts of the pods of a Profile.
const (
	EditorAccount = "default-editor"
	ViewerAccount = "default-viewer"
)

// Role is a row of the table of roles.
type Role struct {
	Name v1alpha1.ProfileRole
	// ClusterRole is what the role may do, and the name of the RoleBinding that gives it.
	ClusterRole string
	// Account is the service account that has the role; empty for none.
	Account string
}

// Roles is the table of roles, from more to less.
var Roles = []Role{
	{v1alpha1.RoleAdmin, "millrace-admin", ""},
	{v1alpha1.RoleEditor, "millrace-edit", EditorAccount},
	{v1alpha1.RoleViewer, "millrace-view", ViewerAccount},
}

// Grant is a role that somebody has.
type Grant struct {
	v1alpha1.Subject

	Role v1alpha1.ProfileRole
	// Until is when it ends; zero for never.
	Until time.Time
}

// Grants are the roles that the owner and the members have at a time, in a fixed order.
func Grants(p *v1alpha1.Profile, now time.Time) []Grant {
	all := []Grant{{Subject: p.Spec.Owner, Role: v1alpha1.RoleAdmin}}
	for _, m := range p.Spec.Members {
		if m.Subject == p.Spec.Owner || over(m, now) {
			continue
		}
		g := Grant{Subject: m.Subject, Role: m.Role}
		if m.Expires != nil {
			g.Until = m.Expires.Time
		}
		all = append(all, g)
	}
	slices.SortFunc(all[1:], func(a, b Grant) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return all
}

func over(m v1alpha1.Member, now time.Time) bool {
	return m.Expires != nil && !now.Before(m.Expires.Time)
}

// Expired names the members whose time is over, sorted.
func Expired(p *v1alpha1.Profile, now time.Time) []string {
	var all []string
	for _, m := range p.Spec.Members {
		if over(m, now) {
			all = append(all, Title(m.Subject))
		}
	}
	slices.Sort(all)
	return all
}

// Title is a subject as people write it: kind/name, kind/namespace/name for a service account.
func Title(s v1alpha1.Subject) string {
	if s.Namespace != "" {
		return string(s.Kind) + "/" + s.Namespace + "/" + s.Name
	}
	return string(s.Kind) + "/" + s.Name
}

// UntilExpiry is how long it is until the next member's time is over; 0 when no time is.
func UntilExpiry(p *v1alpha1.Profile, now time.Time) time.Duration {
	var next time.Duration
	for _, m := range p.Spec.Members {
		if m.Expires == nil || over(m, now) {
			continue
		}
		if left := m.Expires.Sub(now); next == 0 || left < next {
			next = left
		}
	}
	return next
}

// Having are the subjects who have one of the roles, of the given kind.
func Having(grants []Grant, kind v1alpha1.SubjectKind, roles ...v1alpha1.ProfileRole) []v1alpha1.Subject {
	var all []v1alpha1.Subject
	for _, g := range grants {
		if g.Kind == kind && slices.Contains(roles, g.Role) {
			all = append(all, g.Subject)
		}
	}
	return all
}

// RBAC is a subject as RoleBindings name it.
func RBAC(s v1alpha1.Subject) rbacv1.Subject {
	if s.Kind == v1alpha1.ServiceAccount {
		return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: s.Namespace, Name: s.Name}
	}
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: string(s.Kind), Name: s.Name}
}
