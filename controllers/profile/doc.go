// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package profile gives teams their namespaces. A Profile owns the namespace of its name; in it service accounts, one RoleBinding for
// each role, quota, limits, a network policy, policies of the mesh and Secrets.
//
//	             name taken, or not handed over: NamespaceReady=False, nothing is touched
//	            /
//	(new) -----+---> namespace made or taken over ---> access, limits and policies made: Ready=True
//	                                                   |   ^
//	                                                   +---+ the spec changes, a member's time is over, somebody changes what we made
//
//	(deleted) ---> Delete: garbage collection takes the namespace and all that is in it
//	          \--> Orphan: everything stays as it is
//
// What is in the namespace carries no owner reference but an annotation with the Profile's UID: it goes with the namespace, and stays
// with it. The namespace has an owner reference only where it is to be deleted with the Profile. No finalizer is needed for either,
// so that a manager that is not there holds nothing up.
//
// Nothing is ever made in a namespace that is not seen to be the Profile's: one that exists is taken over only when its annotation
// millrace.dev/adopt names the owner. The manager may bind three ClusterRoles and no other, so that no Profile gives more than they.
//
// +kubebuilder:rbac:groups=millrace.dev,resources=profiles,verbs=get;list;watch
// +kubebuilder:rbac:groups=millrace.dev,resources=profiles/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=serviceaccounts,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=resourcequotas;limitranges,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;create
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=rolebindings,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles,resourceNames=millrace-admin;millrace-edit;millrace-view,verbs=bind
// +kubebuilder:rbac:groups=security.istio.io,resources=authorizationpolicies,verbs=get;list;watch;create;patch;delete
package profile
