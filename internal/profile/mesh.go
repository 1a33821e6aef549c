// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// AuthorizationPolicy is Istio's kind of policy.
var AuthorizationPolicy = schema.GroupVersionKind{Group: "security.istio.io", Version: "v1", Kind: "AuthorizationPolicy"}

// Names of the policies of a Profile.
const (
	MembersPolicy = "millrace-members"
	ViewersPolicy = "millrace-viewers"
)

type object = map[string]any

// MembersMesh lets over the mesh into every pod of a namespace: admins and editors through the gateways, service accounts of theirs,
// the namespace itself, the manager to see whether a notebook is at work, and others to ask for health and metrics. Viewers are not in
// it: whoever reaches a notebook has a shell.
func (s Settings) MembersMesh(namespace string, grants []Grant) *unstructured.Unstructured {
	rules := s.rules(grants, limit{}, v1alpha1.RoleAdmin, v1alpha1.RoleEditor)
	rules = append(
		rules,
		object{"from": from("namespaces", []string{namespace})},
		object{"from": from("principals", []string{s.Mesh.Manager}), "to": to([]string{"GET"}, nil)},
	)
	// A gateway may be in one of them, and who comes through it may be anybody: without its name it cannot be told from the others.
	if len(s.AllowFrom) > 0 && len(s.Mesh.Gateways) > 0 {
		source := object{"namespaces": list(s.AllowFrom), "notPrincipals": list(s.Mesh.Gateways)}
		rules = append(rules, object{
			"from": []any{object{"source": source}}, "to": to([]string{"GET"}, []string{"/healthz", "/metrics", "/ready", "/wait-for-drain"}),
		})
	}
	return policy(namespace, MembersPolicy, object{"action": "ALLOW", "rules": rules})
}

// limit narrows what somebody may do.
type limit struct{ to, when []any }

// looking changes nothing: it neither sends a body nor becomes a websocket, as shells are.
func looking() limit {
	return limit{to([]string{"GET", "HEAD"}, nil), []any{object{"key": "request.headers[upgrade]", "notValues": []any{"*"}}}}
}

// ViewersMesh lets viewers look at the pods that say that viewers may; nil where there are no viewers.
func (s Settings) ViewersMesh(namespace string, grants []Grant) *unstructured.Unstructured {
	rules := s.rules(grants, looking(), v1alpha1.RoleViewer)
	if len(rules) == 0 {
		return nil
	}
	return policy(namespace, ViewersPolicy, object{
		"action": "ALLOW", "rules": rules, "selector": object{"matchLabels": object{names.Viewers: "Allow"}},
	})
}

// rules let in who has one of the roles. A header counts only when it comes from a gateway: anybody can send one. Without gateways there
// are no such rules: a mesh takes a source without principals for anybody.
func (s Settings) rules(grants []Grant, narrow limit, roles ...v1alpha1.ProfileRole) []any {
	var rules []any
	add := func(source []any, when ...any) {
		rule := object{"from": source}
		if when = slices.Concat(when, narrow.when); len(when) > 0 {
			rule["when"] = when
		}
		if narrow.to != nil {
			rule["to"] = narrow.to
		}
		rules = append(rules, rule)
	}
	gateways := len(s.Mesh.Gateways) > 0
	if users := Having(grants, v1alpha1.User, roles...); gateways && len(users) > 0 {
		add(from("principals", s.Mesh.Gateways), condition("request.headers["+s.Mesh.UserHeader+"]", titles(users, s.Mesh.UserPrefix)))
	}
	if groups := Having(grants, v1alpha1.UserGroup, roles...); gateways && len(groups) > 0 && s.Mesh.GroupsClaim != "" {
		add(from("principals", s.Mesh.Gateways), condition("request.auth.claims["+s.Mesh.GroupsClaim+"]", titles(groups, "")))
	}
	if accounts := Having(grants, v1alpha1.ServiceAccount, roles...); len(accounts) > 0 {
		var principals []string
		for _, a := range accounts {
			principals = append(principals, s.Mesh.TrustDomain+"/ns/"+a.Namespace+"/sa/"+a.Name)
		}
		add(from("principals", principals))
	}
	return rules
}

func titles(subjects []v1alpha1.Subject, prefix string) []string {
	var all []string
	for _, s := range subjects {
		all = append(all, prefix+s.Name)
	}
	return all
}

func condition(key string, values []string) object { return object{"key": key, "values": list(values)} }

func from(kind string, values []string) []any {
	return []any{object{"source": object{kind: list(values)}}}
}

func to(methods, paths []string) []any {
	operation := object{"methods": list(methods)}
	if len(paths) > 0 {
		operation["paths"] = list(paths)
	}
	return []any{object{"operation": operation}}
}

// list is sorted, so that the same members in another order are the same policy.
func list(values []string) []any {
	var all []any
	for _, v := range slices.Sorted(slices.Values(values)) {
		all = append(all, v)
	}
	return all
}

func policy(namespace, name string, spec object) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: object{"metadata": object{"namespace": namespace, "name": name}, "spec": spec}}
	u.SetGroupVersionKind(AuthorizationPolicy)
	return u
}
