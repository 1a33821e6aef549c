// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package notebook runs Notebooks: a StatefulSet of one pod with its volumes, a Service, and a route from outside.
//
//	(new) --> Pending --> Starting --> Running ---+--> Stopping --> Stopped --+
//	             ^           ^  |         |       |    by its user, or:       |
//	             |           |  |         |       |      idle, after a fresh  |
//	             |          Failed: it crashes    |      probe that tells so  |
//	             |                                |    a schedule, its time   |
//	             +--------------------------------+---------------------------+
//
// A server that runs is never restarted by a change: not of its spec, not of an Accelerator, not of Millrace. The StatefulSet is always
// what is wanted, and its pod is made anew only when somebody deletes it (updateStrategy OnDelete). The pod carries what it was made
// from, field by field; what differs is listed in status.pendingChanges. Changes of cpu and memory are made in place where the cluster
// can. A pod whose server does not run holds no kernel, and is replaced at once.
//
// That a server is stopped is an annotation of the notebook, whoever stops it: Millrace writes no spec. Whether a server is used is found
// out by a Runnable, which asks all servers in turn and keeps the answers in memory; a pass only reads them.
//
// +kubebuilder:rbac:groups=millrace.dev,resources=notebooks,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=millrace.dev,resources=notebooks/status,verbs=patch
// +kubebuilder:rbac:groups=millrace.dev,resources=poddefaults,verbs=get;list;watch
// +kubebuilder:rbac:groups=millrace.dev,resources=profiles,verbs=get;list;watch
// +kubebuilder:rbac:groups=millrace.dev,resources=accelerators,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,resources=statefulsets,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=services,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups="",resources=serviceaccounts,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;delete
// +kubebuilder:rbac:groups="",resources=pods/resize,verbs=patch
// +kubebuilder:rbac:groups="",resources=events,verbs=get;list;watch
// +kubebuilder:rbac:groups=resource.k8s.io,resources=resourceclaimtemplates,verbs=get;create
// +kubebuilder:rbac:groups=networking.istio.io,resources=virtualservices,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=gateway.networking.k8s.io,resources=httproutes,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=networking.k8s.io,resources=ingresses,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=snapshot.storage.k8s.io,resources=volumesnapshots,verbs=get;list;watch;create;delete
package notebook
