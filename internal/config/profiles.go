// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"maps"
	"slices"
	"strings"

	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/millrace-ml/millrace/internal/profile"
)

// Profiles says what all Profiles have.
type Profiles struct {
	// NamespaceLabels are labels of their namespaces. Those of a Profile override them.
	NamespaceLabels map[string]string `json:"namespaceLabels"`
	// AllowFrom are the namespaces whose pods reach those of all Profiles, such as a gateway's and Prometheus'.
	AllowFrom []string `json:"allowFrom"`
	// TemplateNamespace is where Secrets are that those of Profiles are made from.
	TemplateNamespace string `json:"templateNamespace"`
	// Mesh is how people and the manager come in over the mesh.
	Mesh Mesh `json:"mesh"`
}

// Mesh is how people and the manager come in over the mesh.
type Mesh struct {
	// Gateways are the principals of the gateways that check who somebody is.
	Gateways []string `json:"gateways"`
	// Manager is the principal of the manager.
	Manager string `json:"manager"`
	// TrustDomain is the one of the principals of service accounts.
	TrustDomain string `json:"trustDomain"`
	// UserHeader is the header in which a gateway names the user; UserPrefix is what comes before the name.
	UserHeader string `json:"userHeader"`
	UserPrefix string `json:"userPrefix"`
	// GroupsClaim is the claim of the token with the groups of the user; empty where there is none.
	GroupsClaim string `json:"groupsClaim"`
}

func defaultProfiles() Profiles {
	s := profile.Default()
	return Profiles{NamespaceLabels: map[string]string{}, AllowFrom: s.AllowFrom, TemplateNamespace: s.TemplateNamespace, Mesh: Mesh(s.Mesh)}
}

// Tenants is the configuration of Profiles as the controllers take it.
func (c *Config) Tenants() profile.Settings {
	p := c.Profiles
	return profile.Settings{
		NamespaceLabels: p.NamespaceLabels, AllowFrom: p.AllowFrom, TemplateNamespace: p.TemplateNamespace, Mesh: profile.Mesh(p.Mesh),
		Watched: c.Namespaces,
	}
}

func (p Profiles) validate(at *field.Path) field.ErrorList {
	all := namespaces(at.Child("allowFrom"), p.AllowFrom)
	all = append(all, namespace(at.Child("templateNamespace"), p.TemplateNamespace)...)
	for _, key := range slices.Sorted(maps.Keys(p.NamespaceLabels)) {
		all = append(all, metav1validation.ValidateLabels(map[string]string{key: p.NamespaceLabels[key]}, at.Child("namespaceLabels"))...)
	}
	return append(all, p.Mesh.validate(at.Child("mesh"))...)
}

// validate refuses what a mesh would take for anybody.
func (m Mesh) validate(at *field.Path) field.ErrorList {
	var all field.ErrorList
	for i, principal := range append([]string{m.Manager}, m.Gateways...) {
		path := at.Child("gateways").Index(i - 1)
		if i == 0 {
			path = at.Child("manager")
		}
		if strings.Count(principal, "/") != 4 || strings.Contains(principal, "*") {
			all = append(all, field.Invalid(path, principal, "must be a principal, such as cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account"))
		}
	}
	if m.UserHeader == "" || strings.ContainsAny(m.UserHeader, "[]* ") {
		all = append(all, field.Invalid(at.Child("userHeader"), m.UserHeader, "must be the name of a header, such as kubeflow-userid"))
	}
	if m.TrustDomain == "" || strings.ContainsAny(m.TrustDomain, "/*") {
		all = append(all, field.Invalid(at.Child("trustDomain"), m.TrustDomain, "must be a trust domain, such as cluster.local"))
	}
	return all
}
