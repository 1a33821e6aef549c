// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"k8s.io/apimachinery/pkg/util/intstr"
)

// PyTorchSpec is what only PyTorch knows.
//
// +kubebuilder:validation:XValidation:rule="has(self.elastic) == has(oldSelf.elastic)",fieldPath=".elastic",message="spec.pytorch.elastic cannot be added to or removed from a job: delete the job and create it again"
// +kubebuilder:validation:XValidation:rule="has(self.procPerNode) == has(oldSelf.procPerNode)",fieldPath=".procPerNode",message="spec.pytorch.procPerNode cannot change: delete the job and create it again"
type PyTorchSpec struct {
	// procPerNode is the number of processes torchrun starts in each pod: a number, or auto, cpu or gpu.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.pytorch.procPerNode cannot change: delete the job and create it again"
	// +kubebuilder:default=auto
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? int(self) >= 1 : string(self) in ['auto', 'cpu', 'gpu'] || string(self).matches('^[1-9][0-9]{0,3}$')",message="spec.pytorch.procPerNode is a number of at least 1, or auto, cpu or gpu"
	// +optional
	ProcPerNode *intstr.IntOrString `json:"procPerNode,omitempty"`

	// elastic lets the number of workers change while the job runs.
	// +optional
	Elastic *Elastic `json:"elastic,omitempty"`
}

// Elastic is the size of an elastic job and its bounds.
//
// +kubebuilder:validation:XValidation:rule="has(self.minReplicas) == has(self.maxReplicas)",message="spec.pytorch.elastic needs both minReplicas and maxReplicas, or neither: they are what every pod is told of the job's size"
// +kubebuilder:validation:XValidation:rule="has(self.minReplicas) || self.replicas == oldSelf.replicas",fieldPath=".replicas",message="spec.pytorch.elastic.replicas can change between minReplicas and maxReplicas, and this job has none: create the job with them"
// +kubebuilder:validation:XValidation:rule="has(self.minReplicas) == has(oldSelf.minReplicas)",fieldPath=".minReplicas",message="spec.pytorch.elastic.minReplicas cannot change, because pods that run were told of it: delete the job and create it again"
// +kubebuilder:validation:XValidation:rule="has(self.maxReplicas) == has(oldSelf.maxReplicas)",fieldPath=".maxReplicas",message="spec.pytorch.elastic.maxReplicas cannot change, because pods that run were told of it: delete the job and create it again"
// +kubebuilder:validation:XValidation:rule="has(self.rendezvous) == has(oldSelf.rendezvous)",fieldPath=".rendezvous",message="spec.pytorch.elastic.rendezvous cannot change: delete the job and create it again"
// +kubebuilder:validation:XValidation:rule="has(self.maxRestarts) == has(oldSelf.maxRestarts)",fieldPath=".maxRestarts",message="spec.pytorch.elastic.maxRestarts cannot change, because pods that run were told of it: delete the job and create it again"
// +kubebuilder:validation:XValidation:rule="!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",fieldPath=".minReplicas",message="spec.pytorch.elastic.minReplicas must not be greater than maxReplicas"
// +kubebuilder:validation:XValidation:rule="!has(self.minReplicas) || self.minReplicas <= self.replicas",fieldPath=".replicas",message="spec.pytorch.elastic.replicas must not be less than minReplicas"
// +kubebuilder:validation:XValidation:rule="!has(self.maxReplicas) || self.replicas <= self.maxReplicas",fieldPath=".replicas",message="spec.pytorch.elastic.replicas must not be greater than maxReplicas"
type Elastic struct {
	// replicas is the number of workers wanted now; kubectl scale and autoscalers change it.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	// +required
	Replicas int32 `json:"replicas,omitempty"`

	// minReplicas is the least number of workers that can train; replicas when left out.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.pytorch.elastic.minReplicas cannot change, because pods that run were told of it: delete the job and create it again"
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	// +optional
	MinReplicas *int32 `json:"minReplicas,omitempty"`

	// maxReplicas is the largest number of workers; replicas when left out.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.pytorch.elastic.maxReplicas cannot change, because pods that run were told of it: delete the job and create it again"
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	// +optional
	MaxReplicas *int32 `json:"maxReplicas,omitempty"`

	// maxRestarts is how often torchrun's agents may start the processes again (PET_MAX_RESTARTS). These restarts
	// happen inside the pods and are not counted against runPolicy.restarts.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.pytorch.elastic.maxRestarts cannot change, because pods that run were told of it: delete the job and create it again"
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	// +optional
	MaxRestarts *int32 `json:"maxRestarts,omitempty"`

	// rendezvous says how the agents find each other; c10d at worker 0 when left out.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.pytorch.elastic.rendezvous cannot change: delete the job and create it again"
	// +optional
	Rendezvous *Rendezvous `json:"rendezvous,omitempty"`
}

// Rendezvous says how the agents of an elastic job find each other.
type Rendezvous struct {
	// backend is the rendezvous backend.
	// +kubebuilder:validation:Enum=c10d;etcd;etcd-v2
	// +kubebuilder:default=c10d
	// +optional
	Backend string `json:"backend,omitempty"`

	// endpoint is host:port of the rendezvous; worker 0 of the job when left out. etcd backends need it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=300
	// +optional
	Endpoint string `json:"endpoint,omitempty"`

	// id tells jobs apart that share an endpoint.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ID string `json:"id,omitempty"`

	// config are further settings of the backend.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Config []Setting `json:"config,omitempty"`
}

// Setting is a name and its value.
type Setting struct {
	// name of the setting.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +required
	Name string `json:"name,omitempty"`

	// value of the setting.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +required
	Value string `json:"value,omitempty"`
}

// TensorFlowSpec is what only TensorFlow knows. It cannot change.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.tensorflow cannot change: delete the job and create it again"
type TensorFlowSpec struct {
	// successPolicy says who decides success: Chief (the chief, or worker 0 where there is none) or AllWorkers.
	// +kubebuilder:validation:Enum=Chief;AllWorkers
	// +kubebuilder:default=Chief
	// +optional
	SuccessPolicy string `json:"successPolicy,omitempty"`

	// clusterSpec is the form of TF_CONFIG: Dense lists every task; Sparse lists a worker's own address and the
	// parameter servers, so that workers may come and go.
	// +kubebuilder:validation:Enum=Dense;Sparse
	// +kubebuilder:default=Dense
	// +optional
	ClusterSpec string `json:"clusterSpec,omitempty"`
}

// MPISpec is what only MPI knows. It cannot change.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.mpi cannot change: delete the job and create it again"
type MPISpec struct {
	// implementation is the MPI whose environment the launcher gets.
	// +kubebuilder:validation:Enum=OpenMPI;Intel;MPICH
	// +kubebuilder:default=OpenMPI
	// +optional
	Implementation string `json:"implementation,omitempty"`

	// slotsPerWorker is the number of processes each worker takes in the hostfile.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	// +kubebuilder:default=1
	// +optional
	SlotsPerWorker int32 `json:"slotsPerWorker,omitempty"`

	// launcher says whether the launcher also computes (Worker) or only starts the workers' processes (Coordinator).
	// +kubebuilder:validation:Enum=Coordinator;Worker
	// +kubebuilder:default=Coordinator
	// +optional
	Launcher string `json:"launcher,omitempty"`

	// launcherCreation says when the launcher is made: once all workers are ready, or with them.
	// +kubebuilder:validation:Enum=WaitForWorkersReady;AtStartup
	// +kubebuilder:default=WaitForWorkersReady
	// +optional
	LauncherCreation string `json:"launcherCreation,omitempty"`

	// discovery is what discover_hosts.sh prints of a host: its name (Hosts), or its name and slots as host:slots
	// (HostsAndSlots), which horovodrun needs unless it is given --slots.
	// +kubebuilder:validation:Enum=Hosts;HostsAndSlots
	// +kubebuilder:default=Hosts
	// +optional
	Discovery string `json:"discovery,omitempty"`

	// sshAuthMountPath is the directory the job's ssh keys are mounted at.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:default="/root/.ssh"
	// +optional
	SSHAuthMountPath string `json:"sshAuthMountPath,omitempty"`
}

// MXNetSpec is what only MXNet knows. It cannot change.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.mxnet cannot change: delete the job and create it again"
type MXNetSpec struct {
	// mode says what the job does: Train a model, or Tune operators.
	// +kubebuilder:validation:Enum=Train;Tune
	// +kubebuilder:default=Train
	// +optional
	Mode string `json:"mode,omitempty"`
}

// ChainerSpec is what only Chainer knows. It cannot change.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.chainer cannot change: delete the job and create it again"
type ChainerSpec struct {
	// slotsPerWorker is the number of processes each pod takes in the hostfile; when left out, the number of devices that
	// its role asks for by an Accelerator, or of GPUs that its main container asks for, or 1.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	// +optional
	SlotsPerWorker int32 `json:"slotsPerWorker,omitempty"`

	// groups set the slots of single roles, where they differ.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Groups []ChainerGroup `json:"groups,omitempty"`
}

// ChainerGroup sets the slots of a role.
type ChainerGroup struct {
	// name of the role.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +required
	Name string `json:"name,omitempty"`

	// slotsPerWorker is the number of processes each pod of the role takes in the hostfile.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	// +required
	SlotsPerWorker int32 `json:"slotsPerWorker,omitempty"`
}
