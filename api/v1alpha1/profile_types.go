// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Profile is a team's or a person's place in the cluster: a namespace of the same name, who may do what in it, how much it may use,
// and what keeps it apart from others.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=millrace
// +kubebuilder:printcolumn:name="Owner",type=string,JSONPath=`.spec.owner.name`
// +kubebuilder:printcolumn:name="Members",type=integer,JSONPath=`.status.members`,description="members whose time is not over"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$')",message="metadata.name must be a DNS label, because it names the namespace: at most 63 lower-case letters, digits and '-', starting with a letter, ending with a letter or digit, without dots"
// +kubebuilder:validation:XValidation:rule="!self.metadata.name.startsWith('kube-') && !(self.metadata.name in ['default', 'millrace-system', 'istio-system', 'knative-serving'])",message="metadata.name is the name of a namespace of the cluster itself: choose another"
type Profile struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the object's metadata. Its name is the namespace's.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says whose it is, and what it may do.
	// +required
	Spec ProfileSpec `json:"spec,omitzero"`
	// status is what has become of it.
	// +kubebuilder:default={}
	// +optional
	Status ProfileStatus `json:"status,omitzero"`
}

// ProfileList is a list of Profiles.
//
// +kubebuilder:object:root=true
type ProfileList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []Profile `json:"items"`
}

// ProfileSpec says whose a Profile is, and what it may do. All of it can change.
type ProfileSpec struct {
	// owner has the role admin, for ever. A new owner replaces the old one.
	// +required
	Owner Subject `json:"owner,omitzero"`

	// members are the others who have a role in the namespace. One who is named twice, as a user and by a group, has the more of the two.
	// +listType=map
	// +listMapKey=kind
	// +listMapKey=name
	// +listMapKey=namespace
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=500
	// +optional
	Members []Member `json:"members,omitempty"`

	// namespace is what the namespace is made with.
	// +kubebuilder:default={}
	// +optional
	Namespace ProfileNamespace `json:"namespace,omitzero"`

	// resourceQuota is the quota of the whole namespace, as in a ResourceQuota. Left out, there is none of ours.
	// +optional
	ResourceQuota *corev1.ResourceQuotaSpec `json:"resourceQuota,omitempty"`

	// limitRange are defaults and limits of single pods, containers and claims, as in a LimitRange. Left out, there is none of ours.
	// +optional
	LimitRange *corev1.LimitRangeSpec `json:"limitRange,omitempty"`

	// network says whose pods reach the pods of the namespace.
	// +kubebuilder:default={}
	// +optional
	Network ProfileNetwork `json:"network,omitzero"`

	// notebooks is what holds for the notebooks of the namespace.
	// +optional
	Notebooks *ProfileNotebooks `json:"notebooks,omitempty"`

	// secrets are made once, each from a template in the manager's configured namespace, such as credentials of an object store.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Secrets []ProfileSecret `json:"secrets,omitempty"`

	// identities are what pods of the service account default-editor are to the clouds. The cloud must have been told to trust it.
	// +listType=map
	// +listMapKey=cloud
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=3
	// +optional
	Identities []CloudIdentity `json:"identities,omitempty"`

	// deletionPolicy is what becomes of the namespace and all that is in it when the Profile is deleted: Delete, or Orphan, which
	// leaves everything as it is, access included.
	// +kubebuilder:default=Delete
	// +optional
	DeletionPolicy ProfileDeletionPolicy `json:"deletionPolicy,omitempty"`
}

// ProfileDeletionPolicy is what becomes of the namespace of a Profile that is deleted.
//
// +kubebuilder:validation:Enum=Delete;Orphan
type ProfileDeletionPolicy string

// The deletion policies.
const (
	DeleteNamespace ProfileDeletionPolicy = "Delete"
	OrphanNamespace ProfileDeletionPolicy = "Orphan"
)

// SubjectKind is what somebody is to the API server.
//
// +kubebuilder:validation:Enum=User;Group;ServiceAccount
type SubjectKind string

// The kinds of subjects.
const (
	User           SubjectKind = "User"
	UserGroup      SubjectKind = "Group"
	ServiceAccount SubjectKind = "ServiceAccount"
)

// Subject is a user, a group or a service account, as the API server knows it.
//
// +kubebuilder:validation:XValidation:rule="(self.kind == 'ServiceAccount') == (size(self.__namespace__) > 0)",message="namespace is for a ServiceAccount, which needs it: add it there, and remove it from a User or Group"
// +kubebuilder:validation:XValidation:rule="!(self.kind == 'Group' && self.name in ['system:authenticated', 'system:unauthenticated', 'system:serviceaccounts', 'system:masters'])",fieldPath=".name",message="name: this group is everybody, or may do everything anyway: name a group of your own"
// +kubebuilder:validation:XValidation:rule="!self.name.contains('*')",fieldPath=".name",message="name: a mesh takes * for anybody: name one user, group or service account"
type Subject struct {
	// kind is User, Group or ServiceAccount.
	// +kubebuilder:default=User
	// +optional
	Kind SubjectKind `json:"kind,omitempty"`
	// name is the user's, such as an e-mail address, the group's or the service account's.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name,omitempty"`
	// namespace is the service account's.
	// +kubebuilder:default=""
	// +kubebuilder:validation:MinLength=0
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// ProfileRole is what somebody may do in the namespace of a Profile: each role is a ClusterRole millrace-admin, -edit or -view, into
// which other operators can aggregate.
//
// +kubebuilder:validation:Enum=admin;editor;viewer
type ProfileRole string

// The roles.
const (
	// RoleAdmin may do what an editor may, and give others access.
	RoleAdmin ProfileRole = "admin"
	// RoleEditor may make, change and use everything but access and limits.
	RoleEditor ProfileRole = "editor"
	// RoleViewer may look, but not into secrets nor into containers.
	RoleViewer ProfileRole = "viewer"
)

// Member is somebody who has a role.
type Member struct {
	Subject `json:",inline"`

	// role is admin, editor or viewer.
	// +required
	Role ProfileRole `json:"role,omitempty"`
	// expires is when the role ends; left out, it does not.
	// +optional
	Expires *metav1.Time `json:"expires,omitempty"`
}

// PodSecurityLevel is a level of the Pod Security Standards.
//
// +kubebuilder:validation:Enum=privileged;baseline;restricted
type PodSecurityLevel string

// ProfileMesh says how pods of a Profile are part of a mesh.
//
// +kubebuilder:validation:Enum=Auto;Sidecar;Ambient;None
type ProfileMesh string

// The ways to be part of a mesh.
const (
	MeshAuto    ProfileMesh = "Auto"
	MeshSidecar ProfileMesh = "Sidecar"
	MeshAmbient ProfileMesh = "Ambient"
	MeshNone    ProfileMesh = "None"
)

// ProfileNamespace is what the namespace of a Profile is made with.
type ProfileNamespace struct {
	// labels of the namespace, beside those of the manager's configuration, which they override.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('millrace.dev/') && !k.startsWith('kubernetes.io/') && !k.startsWith('pod-security.kubernetes.io/') && k != 'app.kubernetes.io/managed-by')",message="labels of millrace.dev/, kubernetes.io/ and pod-security.kubernetes.io/ are not free: for the latter set spec.namespace.podSecurity"
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// annotations of the namespace.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('millrace.dev/'))",message="annotations of millrace.dev/ are the manager's: remove them"
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`

	// podSecurity is the level of the Pod Security Standards that pods must meet.
	// +kubebuilder:default=baseline
	// +optional
	PodSecurity PodSecurityLevel `json:"podSecurity,omitempty"`

	// mesh says how pods are part of Istio: Sidecar, Ambient or None. Auto is Sidecar where Istio is installed.
	// +kubebuilder:default=Auto
	// +optional
	Mesh ProfileMesh `json:"mesh,omitempty"`
}

// NetworkIsolation says whether a namespace is kept apart.
//
// +kubebuilder:validation:Enum=Enabled;Disabled
type NetworkIsolation string

// The answers.
const (
	IsolationEnabled  NetworkIsolation = "Enabled"
	IsolationDisabled NetworkIsolation = "Disabled"
)

// ProfileNetwork says whose pods reach the pods of the namespace.
type ProfileNetwork struct {
	// isolation keeps pods of other namespaces away, but for those of allowFrom and of the manager's configuration.
	// +kubebuilder:default=Enabled
	// +optional
	Isolation NetworkIsolation `json:"isolation,omitempty"`

	// allowFrom are the names of further namespaces whose pods may come in.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +optional
	AllowFrom []string `json:"allowFrom,omitempty"`
}

// ProfileNotebooks is what holds for the notebooks of a Profile.
//
// +kubebuilder:validation:MinProperties=1
type ProfileNotebooks struct {
	// culling says when they are stopped by themselves.
	// +optional
	Culling *ProfileCulling `json:"culling,omitempty"`
}

// ProfileSecret is a Secret that is made once from a template.
type ProfileSecret struct {
	// name of the Secret in the namespace of the Profile.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name,omitempty"`

	// template is the name of a Secret in the manager's configured namespace that carries the label millrace.dev/profile-secret:
	// "true". ${PROFILE} and ${OWNER} in its values stand for the names of the Profile and its owner.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Template string `json:"template,omitempty"`
}

// Cloud is a cloud whose workload identity is bound to service accounts by an annotation.
//
// +kubebuilder:validation:Enum=GoogleCloud;AWS;Azure
type Cloud string

// The clouds.
const (
	GoogleCloud Cloud = "GoogleCloud"
	AWS         Cloud = "AWS"
	Azure       Cloud = "Azure"
)

// CloudIdentity is who pods of a Profile are to a cloud.
//
// +kubebuilder:validation:XValidation:rule="self.cloud != 'AWS' || self.identity.matches('^arn:aws[-a-z]*:iam::[0-9]{12}:role/.+$')",fieldPath=".identity",message="identity must be the ARN of a role, such as arn:aws:iam::123456789012:role/team-a"
// +kubebuilder:validation:XValidation:rule="self.cloud != 'GoogleCloud' || self.identity.matches('^[^@]+@[^@]+[.]iam[.]gserviceaccount[.]com$')",fieldPath=".identity",message="identity must be the e-mail address of a service account, such as team-a@project.iam.gserviceaccount.com"
// +kubebuilder:validation:XValidation:rule="self.cloud != 'Azure' || self.identity.matches('^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$')",fieldPath=".identity",message="identity must be the client id of a managed identity, a UUID"
type CloudIdentity struct {
	// cloud is GoogleCloud, AWS or Azure.
	// +required
	Cloud Cloud `json:"cloud,omitempty"`
	// identity is a Google service account's e-mail address, the ARN of an AWS role, or the client id of an Azure managed identity.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +required
	Identity string `json:"identity,omitempty"`
}
