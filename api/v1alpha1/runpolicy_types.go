// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// CleanPods says which pods are deleted when the job has finished.
//
// +kubebuilder:validation:Enum=All;Running;None
type CleanPods string

// The clean-up policies.
const (
	// CleanAll deletes every pod.
	CleanAll CleanPods = "All"
	// CleanRunning deletes the pods that still run or wait; finished ones stay, and so do their logs.
	CleanRunning CleanPods = "Running"
	// CleanNone deletes no pod but those the kubelet would go on restarting.
	CleanNone CleanPods = "None"
)

// RunPolicy says how long a job may run, how often it may restart and what is left of it afterwards.
type RunPolicy struct {
	// suspend removes the job's pods while it is true and starts them anew when it is false again. The Service and the
	// count of restarts stay; activeDeadlineSeconds counts anew.
	// +kubebuilder:default=false
	// +optional
	Suspend *bool `json:"suspend,omitempty"`

	// cleanPods says which pods are deleted when the job has finished: All, Running (those that still run or wait) or None.
	// +kubebuilder:default=Running
	// +optional
	CleanPods CleanPods `json:"cleanPods,omitempty"`

	// ttlSecondsAfterFinished is how long the finished job stays before it is deleted with all it owns; for ever when
	// left out. Unit: seconds.
	// +kubebuilder:validation:Minimum=0
	// +optional
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`

	// activeDeadlineSeconds is how long the job may be active, from its start or its last resumption, before it fails.
	// Unit: seconds.
	// +kubebuilder:validation:Minimum=1
	// +optional
	ActiveDeadlineSeconds *int32 `json:"activeDeadlineSeconds,omitempty"`

	// progressDeadlineSeconds is how long the job may run without a sign of progress before it fails. Signs are the
	// annotation millrace.dev/heartbeat of a pod or of the job, a time in RFC 3339, and a pod's start. Unit: seconds.
	// +kubebuilder:validation:Minimum=1
	// +optional
	ProgressDeadlineSeconds *int32 `json:"progressDeadlineSeconds,omitempty"`

	// terminatingTimeoutSeconds is how long, after its grace period, a pod may stay on a node that no longer answers before it
	// is removed by force, so that the job can go on elsewhere. Unit: seconds.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:default=60
	// +optional
	TerminatingTimeoutSeconds *int32 `json:"terminatingTimeoutSeconds,omitempty"`

	// checkpoint says where the training keeps its checkpoints and how long it may take to write one when it is stopped.
	// +optional
	Checkpoint *Checkpoint `json:"checkpoint,omitempty"`

	// restarts is the restart budget.
	// +kubebuilder:default={}
	// +optional
	Restarts Restarts `json:"restarts,omitzero"`
}

// RestartScope says what is restarted together when a replica fails.
//
// +kubebuilder:validation:Enum=Replica;Role;Job
type RestartScope string

// The restart scopes.
const (
	// ScopeReplica restarts the replica that failed.
	ScopeReplica RestartScope = "Replica"
	// ScopeRole restarts every replica of the role.
	ScopeRole RestartScope = "Role"
	// ScopeJob restarts every replica of the job.
	ScopeJob RestartScope = "Job"
)

// Restarts is a restart budget: how often what may be restarted, and how long to wait in between.
//
// +kubebuilder:validation:XValidation:rule="has(self.scope) == has(oldSelf.scope)",fieldPath=".scope",message="spec.runPolicy.restarts.scope cannot change: delete the job and create it again"
type Restarts struct {
	// max is how often each unit of the scope (a replica, a role, the job) may restart before the job fails. Pods that
	// were deleted, evicted or lost with their node are replaced without being counted.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	// +kubebuilder:default=5
	// +optional
	Max *int32 `json:"max,omitempty"`

	// scope says what is restarted together when a replica fails: Replica, Role or Job. The default is the framework's: Job
	// for MXNet, JAX and XGBoost, whose processes cannot join a training that runs, Replica for the others. It cannot change.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.runPolicy.restarts.scope cannot change: delete the job and create it again"
	// +optional
	Scope RestartScope `json:"scope,omitempty"`

	// backoffSeconds is the wait before the first replacement of a pod; it doubles with each further one, up to five
	// minutes. With scope Replica and restartPolicy OnFailure the kubelet restarts containers in place by its own
	// back-off. Unit: seconds.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	// +kubebuilder:default=0
	// +optional
	BackoffSeconds *int32 `json:"backoffSeconds,omitempty"`

	// windowSeconds is how long a unit must go without a failure to have its whole budget again; when left out the budget is
	// for the life of the job. Unit: seconds.
	// +kubebuilder:validation:Minimum=1
	// +optional
	WindowSeconds *int32 `json:"windowSeconds,omitempty"`

	// retryable lists what restartPolicy ExitCode restarts, instead of every exit code of 128 or more.
	// +optional
	Retryable *Retryable `json:"retryable,omitempty"`
}

// Retryable lists the ends of a main container that restartPolicy ExitCode restarts.
//
// +kubebuilder:validation:XValidation:rule="has(self.exitCodes) || has(self.signals)",message="spec.runPolicy.restarts.retryable needs exitCodes or signals"
type Retryable struct {
	// exitCodes are exit codes to restart for.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:Minimum=1
	// +kubebuilder:validation:items:Maximum=255
	// +optional
	ExitCodes []int32 `json:"exitCodes,omitempty"`

	// signals are signals to restart for, such as SIGTERM; a program that a signal ended has exit code 128 plus its number.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Signals []Signal `json:"signals,omitempty"`
}

// Signal is the name of a signal that ends programs.
//
// +kubebuilder:validation:Enum=SIGHUP;SIGINT;SIGQUIT;SIGILL;SIGTRAP;SIGABRT;SIGBUS;SIGFPE;SIGKILL;SIGUSR1;SIGSEGV;SIGUSR2;SIGPIPE;SIGALRM;SIGTERM;SIGXCPU;SIGXFSZ
type Signal string
