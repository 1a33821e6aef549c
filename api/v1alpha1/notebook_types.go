// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Notebook is a server that one person works in, such as Jupyter: a StatefulSet of one pod, its volumes, a Service and a route.
// It is stopped when it is idle, and its files are there when it is started again.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=nb,categories=millrace
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.status.url`
// +kubebuilder:printcolumn:name="Last activity",type=date,JSONPath=`.status.lastActivity`
// +kubebuilder:printcolumn:name="Pending",type=string,JSONPath=`.status.pendingChanges[*].field`,description="changes that wait for the next start"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]{0,50}[a-z0-9])?$')",message="metadata.name must be a DNS label of at most 52 characters, because it names a StatefulSet and a Service: lower-case letters, digits and '-', starting with a letter, ending with a letter or digit, without dots"
type Notebook struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the object's metadata. Its name names the StatefulSet and the Service, and is part of the address.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the server that is wanted.
	// +required
	Spec NotebookSpec `json:"spec,omitzero"`
	// status is what has become of it.
	// +kubebuilder:default={}
	// +optional
	Status NotebookStatus `json:"status,omitzero"`
}

// NotebookList is a list of Notebooks.
//
// +kubebuilder:object:root=true
type NotebookList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []Notebook `json:"items"`
}

// NotebookSpec is the server that is wanted: an image and what it needs, or a whole pod template. A change that would restart a
// server that runs waits for its next start, and is listed in status.pendingChanges until then.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="has(self.image) != has(self.template)",fieldPath=".image",message="set one of spec.image (the short form) and spec.template (a pod template)"
// +kubebuilder:validation:XValidation:rule="!has(self.template) || !has(self.cpu) && !has(self.memory) && !has(self.env)",fieldPath=".template",message="spec.cpu, spec.memory and spec.env go with spec.image: set resources and env of the container in spec.template"
// +kubebuilder:validation:XValidation:rule="has(self.workspace) == has(oldSelf.workspace)",fieldPath=".workspace",message="spec.workspace cannot be added to or removed from a notebook: delete the notebook (its volume stays unless onDelete is Delete) and create it again"
type NotebookSpec struct {
	// image is the short form: the image of a server that listens on port 8888 below the path in NB_PREFIX.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Image string `json:"image,omitempty"`

	// cpu is what the server asks for and may use, such as 500m or 2. Where the cluster can, a change is made while it runs.
	// +optional
	CPU *resource.Quantity `json:"cpu,omitempty"`

	// memory is what the server asks for and may use, such as 4Gi. Where the cluster can, a change is made while it runs.
	// +optional
	Memory *resource.Quantity `json:"memory,omitempty"`

	// env are variables of the server.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Env []corev1.EnvVar `json:"env,omitempty"`

	// template is the long form: the pod. Its first container is the server, which listens on its first port, or on 8888.
	// +kubebuilder:validation:XValidation:rule="has(self.spec)",message="template.spec.containers needs at least one container"
	// +kubebuilder:validation:XValidation:rule="size(self) > 0",fieldPath=".spec.containers",message="template.spec.containers needs at least one container"
	// +kubebuilder:validation:XValidation:rule="has(self.image)",fieldPath=".spec.containers[]",message="template.spec.containers[].image is required"
	// +kubebuilder:validation:XValidation:rule="self == 'Always'",fieldPath=".spec.restartPolicy",message="template.spec.restartPolicy of a notebook is Always: remove it"
	// +optional
	Template *corev1.PodTemplateSpec `json:"template,omitempty"`

	// server says what kind of server it is, and so how it is asked when it was last used.
	// +kubebuilder:default=Jupyter
	// +optional
	Server NotebookServer `json:"server,omitempty"`

	// accelerator asks for devices by the name of an Accelerator.
	// +optional
	Accelerator *AcceleratorRequest `json:"accelerator,omitempty"`

	// workspace is the volume with the files of its user.
	// +optional
	Workspace *Workspace `json:"workspace,omitempty"`

	// volumes are further volumes, of claims that exist.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self.all(v, v.name != 'workspace' && v.name != 'shared-memory')",message="spec.volumes[].name: workspace and shared-memory are names of Millrace's own: choose another"
	// +optional
	Volumes []DataVolume `json:"volumes,omitempty"`

	// sharedMemory is the size of /dev/shm, such as 2Gi; what is in it counts as memory. PyTorch's data loaders need it.
	// +optional
	SharedMemory *resource.Quantity `json:"sharedMemory,omitempty"`

	// stopped takes the server away while it is true; volumes and address stay. The annotation kubeflow-resource-stopped does the
	// same, and is what culling sets.
	// +optional
	Stopped *bool `json:"stopped,omitempty"`

	// culling says when the server is stopped by itself; what is left out the Profile of the namespace says, and then the manager's configuration.
	// +optional
	Culling *Culling `json:"culling,omitempty"`

	// route says how the server is reached from outside of the cluster.
	// +optional
	Route *NotebookRoute `json:"route,omitempty"`
}

// NotebookServer is a kind of server.
//
// +kubebuilder:validation:Enum=Jupyter;VSCode;RStudio;Web
type NotebookServer string

// The servers.
const (
	// Jupyter is a Jupyter server, JupyterLab or classic notebook: kernels, terminals and the API tell when it was used.
	Jupyter NotebookServer = "Jupyter"
	// VSCode is code-server, whose heartbeat tells.
	VSCode NotebookServer = "VSCode"
	// RStudio is RStudio Workbench, whose health check tells.
	RStudio NotebookServer = "RStudio"
	// Web is any other web application: only metrics of the manager's Prometheus can tell.
	Web NotebookServer = "Web"
)

// RetentionPolicy says what becomes of a volume when its owner is deleted.
//
// +kubebuilder:validation:Enum=Retain;Delete
type RetentionPolicy string

// The policies.
const (
	// RetainVolume keeps the volume; a notebook of the same name finds it again.
	RetainVolume RetentionPolicy = "Retain"
	// DeleteVolume deletes it too.
	DeleteVolume RetentionPolicy = "Delete"
)

// Workspace is the volume with the files of its user: a claim that exists, or one that is made.
//
// +kubebuilder:validation:XValidation:rule="has(self.claimName) != has(self.size)",fieldPath=".size",message="set one of spec.workspace.size (a volume is made) and spec.workspace.claimName (one that exists)"
// +kubebuilder:validation:XValidation:rule="has(self.size) || !has(self.storageClassName) && !has(self.from) && !has(self.snapshots)",fieldPath=".claimName",message="spec.workspace.storageClassName, from and snapshots go with spec.workspace.size: remove them or claimName"
// +kubebuilder:validation:XValidation:rule="has(self.size) == has(oldSelf.size) && has(self.storageClassName) == has(oldSelf.storageClassName) && has(self.from) == has(oldSelf.from)",message="spec.workspace: only size (upwards), snapshots, onDelete and mountPath can change: delete the notebook and create it again"
type Workspace struct {
	// size of the volume, such as 10Gi. It can grow.
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || !isQuantity(string(oldSelf)) || quantity(string(self)).compareTo(quantity(string(oldSelf))) >= 0",message="spec.workspace.size: a volume cannot shrink"
	// +optional
	Size *resource.Quantity `json:"size,omitempty"`

	// storageClassName is the class of the volume; the cluster's default when left out.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.workspace.storageClassName cannot change: delete the notebook and create it again"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	StorageClassName string `json:"storageClassName,omitempty"`

	// from is what a new volume is filled from.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.workspace.from cannot change: delete the notebook and create it again"
	// +optional
	From *VolumeSource `json:"from,omitempty"`

	// claimName is the PersistentVolumeClaim to use instead of a new one.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ClaimName string `json:"claimName,omitempty"`

	// mountPath is where the volume is mounted, and the server's working directory.
	// +kubebuilder:default=/home/jovyan
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^/`
	// +optional
	MountPath string `json:"mountPath,omitempty"`

	// onDelete says what becomes of the volume when the notebook is deleted: Retain or Delete. One that was never used is
	// deleted in any case.
	// +kubebuilder:default=Retain
	// +optional
	OnDelete RetentionPolicy `json:"onDelete,omitempty"`

	// snapshots are VolumeSnapshots of the volume to take, each once, by the name <notebook>-<name>. One that leaves the list is
	// deleted, and all of them are with the notebook.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Snapshots []Snapshot `json:"snapshots,omitempty"`
}

// Snapshot is a VolumeSnapshot to take.
type Snapshot struct {
	// name of the snapshot, such as before-upgrade.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +required
	Name string `json:"name,omitempty"`

	// className is the VolumeSnapshotClass; the cluster's default when left out.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ClassName string `json:"className,omitempty"`
}

// VolumeSource is what a new volume is filled from.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="has(self.notebook) != has(self.snapshot)",message="set one of spec.workspace.from.notebook (its volume is cloned) and spec.workspace.from.snapshot (a VolumeSnapshot)"
type VolumeSource struct {
	// notebook whose workspace is cloned, in the same namespace.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=52
	// +optional
	Notebook string `json:"notebook,omitempty"`

	// snapshot is the name of a VolumeSnapshot, in the same namespace.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Snapshot string `json:"snapshot,omitempty"`
}

// DataVolume is a volume of a claim that exists.
type DataVolume struct {
	// name of the volume in the pod.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +required
	Name string `json:"name,omitempty"`

	// claimName is the PersistentVolumeClaim.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	ClaimName string `json:"claimName,omitempty"`

	// mountPath is where it is mounted.
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^/`
	// +required
	MountPath string `json:"mountPath,omitempty"`

	// access says whether the server may write to it.
	// +kubebuilder:default=ReadWrite
	// +optional
	Access VolumeAccess `json:"access,omitempty"`
}

// VolumeAccess says whether a server may write to a volume.
//
// +kubebuilder:validation:Enum=ReadWrite;ReadOnly
type VolumeAccess string

// The kinds of access.
const (
	// ReadWrite lets the server write.
	ReadWrite VolumeAccess = "ReadWrite"
	// ReadOnly does not.
	ReadOnly VolumeAccess = "ReadOnly"
)

// RouteKind is how a server is reached from outside of the cluster.
//
// +kubebuilder:validation:Enum=Auto;Istio;Gateway;Ingress;None
type RouteKind string

// The kinds of routes.
const (
	// RouteAuto leaves it to the manager's configuration and to what the cluster serves.
	RouteAuto RouteKind = "Auto"
	// RouteIstio is a VirtualService of Istio.
	RouteIstio RouteKind = "Istio"
	// RouteGateway is an HTTPRoute of the Gateway API.
	RouteGateway RouteKind = "Gateway"
	// RouteIngress is an Ingress.
	RouteIngress RouteKind = "Ingress"
	// RouteNone is none: mill notebook open reaches the server.
	RouteNone RouteKind = "None"
)

// NotebookRoute says how the server is reached.
type NotebookRoute struct {
	// kind of the route: Auto, Istio, Gateway, Ingress or None.
	// +kubebuilder:default=Auto
	// +optional
	Kind RouteKind `json:"kind,omitempty"`

	// rewrite is the path that the server sees instead of /notebook/<namespace>/<name>/; for servers that know no prefix, such as
	// code-server, it is /.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^/[-A-Za-z0-9._~!$&()*+,;=:@%/]*$')",message="spec.route.rewrite must be a path: it begins with / and has no query, space or backslash"
	// +optional
	Rewrite string `json:"rewrite,omitempty"`

	// requestHeaders are set on every request.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +optional
	RequestHeaders []Header `json:"requestHeaders,omitempty"`
}

// Header is a header of HTTP.
type Header struct {
	// name of the header.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9-]+$`
	// +required
	Name string `json:"name,omitempty"`

	// value of the header, as it is: without %, by which gateways would put in what they know.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:XValidation:rule="!self.matches('[%[:cntrl:]]')",message="spec.route.requestHeaders[].value: a gateway takes % for a command, such as %ENVIRONMENT(TOKEN)%: remove it, and control characters"
	// +required
	Value string `json:"value,omitempty"`
}
