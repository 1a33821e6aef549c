// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TrainingJob runs one distributed training to its end: pods by role, one headless Service through which they find
// each other, and the environment the framework's rendezvous reads.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.pytorch.elastic.replicas,statuspath=.status.elastic.replicas,selectorpath=.status.elastic.selector
// +kubebuilder:resource:shortName=tj,categories=millrace
// +kubebuilder:printcolumn:name="Framework",type=string,JSONPath=`.spec.framework`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.ready`,description="running and finished pods of those wanted"
// +kubebuilder:printcolumn:name="Restarts",type=integer,JSONPath=`.status.restartCount`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Succeeded")].reason`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Succeeded")].message`,priority=1
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name must be a DNS label, because it names the job's Service: lower-case letters, digits and '-', starting with a letter, ending with a letter or digit, without dots"
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 25 || self.spec.roles.all(r, size(self.metadata.name) + size(r.name) + size(string(has(r.replicas) ? r.replicas - 1 : (has(self.spec.pytorch) && has(self.spec.pytorch.elastic) ? 9999 : 0))) <= 61)",message="metadata.name is too long: <name>-<role>-<index> is a pod's host name and must fit in 63 characters; shorten metadata.name"
type TrainingJob struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the object's metadata. Its name names the job's Service and begins its pods' names.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the training that is wanted.
	// +required
	Spec TrainingJobSpec `json:"spec,omitzero"`
	// status is what has become of it.
	// +kubebuilder:default={}
	// +optional
	Status TrainingJobStatus `json:"status,omitzero"`
}

// TrainingJobList is a list of TrainingJobs.
//
// +kubebuilder:object:root=true
type TrainingJobList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []TrainingJob `json:"items"`
}

// Framework is the training framework whose rendezvous contract the job's pods are given.
//
// +kubebuilder:validation:Enum=TensorFlow;PyTorch;MPI;MXNet;Chainer;JAX;XGBoost
type Framework string

// The frameworks.
const (
	TensorFlow Framework = "TensorFlow"
	PyTorch    Framework = "PyTorch"
	MPI        Framework = "MPI"
	MXNet      Framework = "MXNet"
	Chainer    Framework = "Chainer"
	JAX        Framework = "JAX"
	XGBoost    Framework = "XGBoost"
)

// TrainingJobSpec is the training that is wanted.
//
// +kubebuilder:validation:XValidation:rule="[self.framework].all(f, f == 'Chainer' || self.roles.all(r, r.name in {'PyTorch': ['Master', 'Worker'], 'TensorFlow': ['Chief', 'Master', 'PS', 'Worker', 'Evaluator'], 'MPI': ['Launcher', 'Worker'], 'MXNet': ['Scheduler', 'Server', 'Worker', 'TunerTracker', 'TunerServer', 'Tuner'], 'JAX': ['Worker'], 'XGBoost': ['Master', 'Worker']}[f]))",fieldPath=".roles",messageExpression="'framework ' + {'PyTorch': 'PyTorch has the roles Master and Worker: rename or remove any other', 'TensorFlow': 'TensorFlow has the roles Chief (or Master), PS, Worker and Evaluator: rename or remove any other', 'MPI': 'MPI has the roles Launcher and Worker: rename or remove any other', 'MXNet': 'MXNet has the roles Scheduler, Server, Worker, TunerTracker, TunerServer and Tuner: rename or remove any other', 'JAX': 'JAX has the role Worker: rename or remove any other', 'XGBoost': 'XGBoost has the roles Master, which it needs, and Worker: add or rename'}[self.framework]"
// +kubebuilder:validation:XValidation:rule="[self.framework].all(f, f == 'MPI' ? self.roles.exists(r, r.name == 'Launcher') : f == 'Chainer' ? self.roles.exists(r, r.name == 'Master') : f == 'XGBoost' ? self.roles.exists(r, r.name != 'Worker') : f != 'TensorFlow' || !(self.roles.exists(r, r.name == 'Chief') && self.roles.exists(r, r.name == 'Master')))",fieldPath=".roles",messageExpression="{'MPI': 'framework MPI needs a role Launcher', 'Chainer': 'framework Chainer needs a role Master; every other role is a worker group of that name', 'XGBoost': 'framework XGBoost has the roles Master, which it needs, and Worker: add or rename', 'TensorFlow': 'Chief and Master are two names of one TensorFlow role: keep one of them'}[self.framework]"
// +kubebuilder:validation:XValidation:rule="!has(self.tensorflow) || self.framework == 'TensorFlow'",fieldPath=".tensorflow",message="spec.tensorflow belongs to framework TensorFlow: remove it or change spec.framework"
// +kubebuilder:validation:XValidation:rule="!has(self.pytorch) || self.framework == 'PyTorch'",fieldPath=".pytorch",message="spec.pytorch belongs to framework PyTorch: remove it or change spec.framework"
// +kubebuilder:validation:XValidation:rule="!has(self.mpi) || self.framework == 'MPI'",fieldPath=".mpi",message="spec.mpi belongs to framework MPI: remove it or change spec.framework"
// +kubebuilder:validation:XValidation:rule="!has(self.mxnet) || self.framework == 'MXNet'",fieldPath=".mxnet",message="spec.mxnet belongs to framework MXNet: remove it or change spec.framework"
// +kubebuilder:validation:XValidation:rule="!has(self.chainer) || self.framework == 'Chainer'",fieldPath=".chainer",message="spec.chainer belongs to framework Chainer: remove it or change spec.framework"
// +kubebuilder:validation:XValidation:rule="!has(self.pytorch) || !has(self.pytorch.elastic) || self.roles.exists(r, r.name == 'Worker' && !has(r.replicas))",fieldPath=".pytorch.elastic",message="an elastic job has a role Worker without replicas: spec.pytorch.elastic.replicas is their number"
// +kubebuilder:validation:XValidation:rule="!has(self.chainer) || !has(self.chainer.groups) || self.chainer.groups.all(g, self.roles.exists(r, r.name == g.name))",fieldPath=".chainer.groups",message="spec.chainer.groups[].name is the name of a role: correct it or add the role"
// +kubebuilder:validation:XValidation:rule="has(self.managedBy) == has(oldSelf.managedBy)",fieldPath=".managedBy",message="spec.managedBy cannot change: delete the job and create it again"
// +kubebuilder:validation:XValidation:rule="[self.framework].all(f, f == 'PyTorch' ? has(self.pytorch) == has(oldSelf.pytorch) : f == 'TensorFlow' ? has(self.tensorflow) == has(oldSelf.tensorflow) : f == 'MPI' ? has(self.mpi) == has(oldSelf.mpi) : f == 'MXNet' ? has(self.mxnet) == has(oldSelf.mxnet) : f != 'Chainer' || has(self.chainer) == has(oldSelf.chainer))",messageExpression="'spec.' + self.framework.lowerAscii() + ' cannot be added to or removed from a job: delete the job and create it again'"
// +kubebuilder:validation:XValidation:rule="!has(self.managedBy) || self.managedBy != 'kueue.x-k8s.io/multikueue' || has(self.scheduling) && has(self.scheduling.queue)",fieldPath=".managedBy",message="spec.managedBy kueue.x-k8s.io/multikueue needs spec.scheduling.queue: name a queue that sends jobs to other clusters"
// +kubebuilder:validation:XValidation:rule="has(self.scheduling) == has(oldSelf.scheduling)",fieldPath=".scheduling",message="spec.scheduling cannot change: delete the job and create it again"
type TrainingJobSpec struct {
	// framework is the training framework: it decides which roles there are, what environment the pods get, and whose
	// success is the job's. It cannot change.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.framework cannot change: delete the job and create it again"
	// +required
	Framework Framework `json:"framework,omitempty"`

	// roles are the kinds of pods of the job, by the framework's own names:
	// PyTorch: Master, Worker. TensorFlow: Chief (or Master), PS, Worker, Evaluator. MPI: Launcher, Worker.
	// MXNet: Scheduler, Server, Worker, or TunerTracker, TunerServer, Tuner. Chainer: Master and any number of worker groups.
	// JAX: Worker. XGBoost: Master, Worker.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:XValidation:rule="size(self) == size(oldSelf) && [oldSelf.map(o, o.name)].all(names, self.all(r, r.name in names))",message="spec.roles: roles cannot be added to or removed from a job: delete the job and create it again"
	// +kubebuilder:validation:XValidation:rule="size(self) == 1 || [self.map(r, r.name.lowerAscii())].all(names, names.all(a, names.exists_one(b, b == a)))",message="spec.roles[].name: two roles differ only in case, and pod names are lower case: rename one"
	// +required
	Roles []Role `json:"roles,omitempty"`

	// tensorflow is what only TensorFlow knows.
	// +optional
	TensorFlow *TensorFlowSpec `json:"tensorflow,omitempty"`

	// pytorch is what only PyTorch knows.
	// +optional
	PyTorch *PyTorchSpec `json:"pytorch,omitempty"`

	// mpi is what only MPI knows.
	// +optional
	MPI *MPISpec `json:"mpi,omitempty"`

	// mxnet is what only MXNet knows.
	// +optional
	MXNet *MXNetSpec `json:"mxnet,omitempty"`

	// chainer is what only Chainer knows.
	// +optional
	Chainer *ChainerSpec `json:"chainer,omitempty"`

	// runPolicy says how long the job may run, how often it may restart and what is left of it afterwards.
	// +kubebuilder:default={}
	// +optional
	RunPolicy RunPolicy `json:"runPolicy,omitzero"`

	// managedBy names the controller that runs the job: millrace.dev/manager, which it is when left out;
	// kueue.x-k8s.io/multikueue, with which the job waits in its queue here, runs in another cluster, and has the status it has there; or
	// another, whose job is left alone, its status included. It cannot change.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.managedBy cannot change: delete the job and create it again"
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`
	// +optional
	ManagedBy string `json:"managedBy,omitempty"`

	// scheduling says where the pods may run and what must be placed together. It cannot change.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.scheduling cannot change: delete the job and create it again"
	// +optional
	Scheduling *Scheduling `json:"scheduling,omitempty"`
}

// RestartPolicy says what happens when a replica's main container fails.
//
// +kubebuilder:validation:Enum=Never;OnFailure;ExitCode
type RestartPolicy string

// The restart policies.
const (
	// RestartNever fails the job.
	RestartNever RestartPolicy = "Never"
	// RestartOnFailure restarts the replica, within the restart budget.
	RestartOnFailure RestartPolicy = "OnFailure"
	// RestartExitCode restarts the replica when runPolicy.restarts.retryable lists the exit code, or, without such a list,
	// when it is 128 or more (the program was ended by a signal), and fails the job otherwise (the program gave up).
	RestartExitCode RestartPolicy = "ExitCode"
)

// Role is one kind of pod of a job.
//
// +kubebuilder:validation:XValidation:rule="!has(self.replicas) || self.replicas == 1 || !(self.name in ['Master', 'Chief', 'Launcher', 'Scheduler'])",fieldPath=".replicas",message="a role Master, Chief, Launcher or Scheduler has exactly one replica: set replicas to 1 or leave it out"
// +kubebuilder:validation:XValidation:rule="has(self.replicas) == has(oldSelf.replicas)",fieldPath=".replicas",message="replicas of a role cannot change: delete the job and create it again, or make it elastic (spec.pytorch.elastic)"
// +kubebuilder:validation:XValidation:rule="has(self.restartPolicy) == has(oldSelf.restartPolicy)",fieldPath=".restartPolicy",message="restartPolicy of a role cannot change: delete the job and create it again"
// +kubebuilder:validation:XValidation:rule="has(self.accelerator) == has(oldSelf.accelerator)",fieldPath=".accelerator",message="accelerator of a role cannot change: delete the job and create it again"
type Role struct {
	// name is the role's name in the framework, such as Master or Worker.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?$`
	// +required
	Name string `json:"name,omitempty"`

	// replicas is the number of pods of this role; 1 when left out. It is left out for the Worker of an elastic job.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="replicas of a role cannot change: delete the job and create it again, or make it elastic (spec.pytorch.elastic)"
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`

	// restartPolicy says what happens when a replica fails: Never fails the job, OnFailure restarts the replica,
	// ExitCode restarts it when the exit code is 128 or more, or as runPolicy.restarts.retryable says. The default is the
	// framework's: OnFailure for PyTorch, MPI and Chainer, Never for the others.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="restartPolicy of a role cannot change: delete the job and create it again"
	// +optional
	RestartPolicy RestartPolicy `json:"restartPolicy,omitempty"`

	// accelerator asks for devices by the name of an Accelerator.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="accelerator of a role cannot change: delete the job and create it again"
	// +optional
	Accelerator *AcceleratorRequest `json:"accelerator,omitempty"`

	// template is the pod each replica runs. Its main container is the one named after the framework in lower case, or
	// else the first. restartPolicy, hostname and subdomain are set by the job.
	// +kubebuilder:validation:XValidation:rule="has(self.spec)",message="template.spec.containers needs at least one container"
	// +kubebuilder:validation:XValidation:rule="size(self) > 0",fieldPath=".spec.containers",message="template.spec.containers needs at least one container"
	// +kubebuilder:validation:XValidation:rule="has(self.image)",fieldPath=".spec.containers[]",message="template.spec.containers[].image is required"
	// +kubebuilder:validation:XValidation:rule="self != ''",fieldPath=".spec.containers[].image",message="template.spec.containers[].image is required"
	// +kubebuilder:validation:XValidation:rule="self == ''",fieldPath=".spec.restartPolicy",message="template.spec.restartPolicy is set by the job: move it to restartPolicy of the role"
	// +kubebuilder:validation:XValidation:rule="size(self) == 0",fieldPath=".spec.hostname",message="template.spec.hostname and subdomain are set by the job, because the rendezvous uses them: remove them"
	// +kubebuilder:validation:XValidation:rule="self.size() == 0",fieldPath=".spec.subdomain",message="template.spec.hostname and subdomain are set by the job, because the rendezvous uses them: remove them"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="template of a role cannot change: delete the job and create it again"
	// +required
	Template corev1.PodTemplateSpec `json:"template,omitzero"`
}

// AcceleratorRequest asks for devices by the name of an Accelerator.
type AcceleratorRequest struct {
	// name is the name of an Accelerator.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +required
	Name string `json:"name,omitempty"`

	// count is the number of devices for each pod.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	// +kubebuilder:default=1
	// +optional
	Count int32 `json:"count,omitempty"`
}
