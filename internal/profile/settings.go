// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"slices"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// Settings are what the manager's configuration says of all Profiles.
type Settings struct {
	// NamespaceLabels are labels of the namespaces of all Profiles.
	NamespaceLabels map[string]string
	// AllowFrom are namespaces whose pods reach those of all Profiles.
	AllowFrom []string
	// TemplateNamespace is where Secrets are that those of Profiles are made from.
	TemplateNamespace string
	// Mesh is how people and the manager come in over the mesh.
	Mesh Mesh
	// Watched are the only namespaces that the manager watches; all when empty.
	Watched []string
}

// Watches is true of a namespace that the manager sees into.
func (s Settings) Watches(namespace string) bool {
	return len(s.Watched) == 0 || slices.Contains(s.Watched, namespace)
}

// Mesh is how people and the manager come in over the mesh.
type Mesh struct {
	// Gateways are the principals of the gateways that have checked who somebody is.
	Gateways []string
	// Manager is the principal of the manager.
	Manager string
	// TrustDomain is the one of the principals of service accounts.
	TrustDomain string
	// UserHeader is the header in which a gateway names the user, UserPrefix what comes before the name.
	UserHeader, UserPrefix string
	// GroupsClaim is the claim of the token that names the groups of the user; empty where there is none.
	GroupsClaim string
}

// Default are the settings of a manager that is told nothing.
func Default() Settings {
	return Settings{
		AllowFrom: []string{"millrace-system", "istio-system"}, TemplateNamespace: "millrace-system",
		Mesh: Mesh{
			Gateways: []string{
				"cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account",
				"cluster.local/ns/istio-ingress/sa/istio-ingress",
			},
			Manager: "cluster.local/ns/millrace-system/sa/millrace-manager", TrustDomain: "cluster.local",
			UserHeader: "kubeflow-userid", GroupsClaim: "groups",
		},
	}
}

// CloudAnnotation is the annotation by which a cloud knows a service account.
var CloudAnnotation = map[v1alpha1.Cloud]string{
	v1alpha1.GoogleCloud: "iam.gke.io/gcp-service-account",
	v1alpha1.AWS:         "eks.amazonaws.com/role-arn",
	v1alpha1.Azure:       "azure.workload.identity/client-id",
}
