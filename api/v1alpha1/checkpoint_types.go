// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Checkpoint says where a training keeps its checkpoints and how long it may take to write one when it is stopped.
type Checkpoint struct {
	// path is the directory of the checkpoints in the containers, below a volume that outlives the pods. Every container is
	// told of it as MILLRACE_CHECKPOINT_DIR. It cannot change.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^/`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.runPolicy.checkpoint.path cannot change: delete the job and create it again"
	// +required
	Path string `json:"path,omitempty"`

	// gracePeriodSeconds is the time from the stop signal to SIGKILL when a pod is stopped, for pods whose template sets no
	// terminationGracePeriodSeconds; Kubernetes' 30 when left out. Unit: seconds.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	// +optional
	GracePeriodSeconds *int32 `json:"gracePeriodSeconds,omitempty"`

	// stopSignal is sent to the first process of the main container of each pod when the pod is stopped, in place of SIGTERM, which
	// follows when the program has not ended by the end of the grace period. It is sent by a preStop hook, which needs /bin/sh in the
	// image. SIGTERM when left out.
	// +optional
	StopSignal StopSignal `json:"stopSignal,omitempty"`
}

// StopSignal is the name of a signal by which programs are told to write a checkpoint and end.
//
// +kubebuilder:validation:Enum=SIGHUP;SIGINT;SIGQUIT;SIGUSR1;SIGUSR2
type StopSignal string

// CheckpointStatus is what is known of a job's checkpoints and of the work that stops have cost.
type CheckpointStatus struct {
	// lastTime is when the last checkpoint was written, of which a pod or the job told.
	// +optional
	LastTime *metav1.Time `json:"lastTime,omitempty"`

	// step is the step of the training when that checkpoint was told of.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Step *int64 `json:"step,omitempty"`

	// pod that told of it; empty when the job was annotated.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Pod string `json:"pod,omitempty"`

	// lostSeconds is the work that stops and restarts have cost so far: each time the time since the last checkpoint, or
	// since all pods ran, as of the decision to stop: a checkpoint written on SIGTERM is not taken off again. Unit: seconds.
	// +kubebuilder:validation:Minimum=0
	// +optional
	LostSeconds int64 `json:"lostSeconds,omitempty"`
}
