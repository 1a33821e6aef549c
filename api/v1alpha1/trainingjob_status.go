// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Conditions of a TrainingJob. Succeeded is the root: True or False when the job has finished, Unknown before.
// All of them are always present.
const (
	// ConditionAccepted is True when the spec can be run by this version of Millrace in this cluster.
	ConditionAccepted = "Accepted"
	// ConditionScheduled is True when every pod of the job has a node.
	ConditionScheduled = "Scheduled"
	// ConditionRunning is True while every pod of the job runs or has succeeded.
	ConditionRunning = "Running"
	// ConditionRestarting is True from a failure that is retried until every pod runs again.
	ConditionRestarting = "Restarting"
	// ConditionSuspended is True while spec.runPolicy.suspend keeps the pods away.
	ConditionSuspended = "Suspended"
	// ConditionSucceeded is the root: True when the training reached its end, False when it failed.
	ConditionSucceeded = "Succeeded"
	// ConditionReconciling is True while there is something left to do, as kstatus reads it.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True when only a change by somebody else can help, as kstatus reads it.
	ConditionStalled = "Stalled"
)

// Reasons of the conditions of a TrainingJob.
const (
	// ReasonPending: the manager has not looked at the object yet.
	ReasonPending = "Pending"
	// ReasonAccepted: the spec can be run.
	ReasonAccepted = "Accepted"
	// ReasonFrameworkNotYetSupported: this version of Millrace does not run the framework.
	ReasonFrameworkNotYetSupported = "FrameworkNotYetSupported"
	// ReasonReservedEnv: a template sets a variable that belongs to the rendezvous contract.
	ReasonReservedEnv = "ReservedEnv"
	// ReasonInvalidSpec: the spec contradicts itself in a way the schema cannot say.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonNameTaken: an object of a name the job needs belongs to somebody else.
	ReasonNameTaken = "NameTaken"
	// ReasonQuotaExceeded: a ResourceQuota refuses a pod of the job.
	ReasonQuotaExceeded = "QuotaExceeded"
	// ReasonRefused: the API server refuses an object of the job.
	ReasonRefused = "Refused"
	// ReasonAcceleratorNotFound: a role names an Accelerator that is not there.
	ReasonAcceleratorNotFound = "AcceleratorNotFound"
	// ReasonAcceleratorPending: an Accelerator is new, or has changed, and its devices are being counted.
	ReasonAcceleratorPending = "AcceleratorPending"
	// ReasonAcceleratorNotReady: an Accelerator names something that is not there or cannot be read.
	ReasonAcceleratorNotReady = "AcceleratorNotReady"
	// ReasonAcceleratorUnsatisfiable: no node can ever have the devices that a role asks for.
	ReasonAcceleratorUnsatisfiable = "AcceleratorUnsatisfiable"
	// ReasonPodDefaultConflict: a template sets what a PodDefault for its pods sets, to another value.
	ReasonPodDefaultConflict = "PodDefaultConflict"
	// ReasonAcceleratorConflict: a template sets what its Accelerator sets, to another value.
	ReasonAcceleratorConflict = "AcceleratorConflict"
	// ReasonAcceleratorShared: other Profiles hold every node of an Accelerator that is shared within a Profile only.
	ReasonAcceleratorShared = "AcceleratorShared"
	// ReasonCreatingPods: pods of the job are still to be made.
	ReasonCreatingPods = "CreatingPods"
	// ReasonUnschedulable: the scheduler finds no node for a pod.
	ReasonUnschedulable = "Unschedulable"
	// ReasonWaitingForScheduler: pods wait for the scheduler; False when it has not looked at one for a minute.
	ReasonWaitingForScheduler = "WaitingForScheduler"
	// ReasonAllScheduled: every pod has a node.
	ReasonAllScheduled = "AllScheduled"
	// ReasonPodsStarting: pods are pulling images or starting.
	ReasonPodsStarting = "PodsStarting"
	// ReasonPodCannotStart: a container of a pod cannot start, such as for its image or a missing secret.
	ReasonPodCannotStart = "PodCannotStart"
	// ReasonAllRunning: every pod runs or has succeeded.
	ReasonAllRunning = "AllRunning"
	// ReasonNotRestarting: nothing failed that is being retried.
	ReasonNotRestarting = "NotRestarting"
	// ReasonReplicaFailed: a replica failed.
	ReasonReplicaFailed = "ReplicaFailed"
	// ReasonReplicaLost: a pod was deleted, evicted or lost with its node and is replaced.
	ReasonReplicaLost = "ReplicaLost"
	// ReasonNodeUnhealthy: a replica is moved away from a node that is judged bad.
	ReasonNodeUnhealthy = "NodeUnhealthy"
	// ReasonDeviceUnhealthy: a replica is moved away from a device that is unhealthy.
	ReasonDeviceUnhealthy = "DeviceUnhealthy"
	// ReasonTurnedAway: nodes turn a pod away again and again.
	ReasonTurnedAway = "TurnedAway"
	// ReasonSuspended: spec.runPolicy.suspend is true.
	ReasonSuspended = "Suspended"
	// ReasonSuspending: spec.runPolicy.suspend is true and pods are still ending.
	ReasonSuspending = "Suspending"
	// ReasonNotSuspended: spec.runPolicy.suspend is false.
	ReasonNotSuspended = "NotSuspended"
	// ReasonInProgress: the job has not finished.
	ReasonInProgress = "InProgress"
	// ReasonTrainingSucceeded: the role that decides has succeeded.
	ReasonTrainingSucceeded = "TrainingSucceeded"
	// ReasonRestartsExceeded: a unit failed more often than spec.runPolicy.restarts.max allows.
	ReasonRestartsExceeded = "RestartsExceeded"
	// ReasonDeadlineExceeded: the job was active longer than spec.runPolicy.activeDeadlineSeconds.
	ReasonDeadlineExceeded = "DeadlineExceeded"
	// ReasonProgressDeadlineExceeded: nothing told of progress for longer than spec.runPolicy.progressDeadlineSeconds.
	ReasonProgressDeadlineExceeded = "ProgressDeadlineExceeded"
	// ReasonWaitingForWorkers: the launcher is made when every worker is ready.
	ReasonWaitingForWorkers = "WaitingForWorkers"
	// ReasonQueueUnavailable: the job names a queue, and Kueue is not installed.
	ReasonQueueUnavailable = "QueueUnavailable"
	// ReasonQueuePending: the job waits in its queue.
	ReasonQueuePending = "QueuePending"
	// ReasonEvicted: Kueue takes the job's quota back.
	ReasonEvicted = "Evicted"
	// ReasonInternalError: planning failed by a fault of Millrace's own; the manager's log has the stack.
	ReasonInternalError = "InternalError"
	// ReasonFinished: the job has finished.
	ReasonFinished = "Finished"
	// ReasonProgressing: there is something left to do.
	ReasonProgressing = "Progressing"
	// ReasonHealthy: nothing stands in the way.
	ReasonHealthy = "Healthy"
)

// Phases of a TrainingJob: a summary of its conditions for the printer column.
const (
	PhasePending    = "Pending"
	PhaseStarting   = "Starting"
	PhaseRunning    = "Running"
	PhaseRestarting = "Restarting"
	PhaseSuspended  = "Suspended"
	PhaseSucceeded  = "Succeeded"
	PhaseFailed     = "Failed"
	PhaseRejected   = "Rejected"
)

// TrainingJobStatus is what has become of a job.
type TrainingJobStatus struct {
	// conditions are the state of the job. Succeeded is the one that decides.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:default={{type: Accepted, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Scheduled, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Running, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Restarting, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Suspended, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Succeeded, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Reconciling, status: "True", reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Stalled, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}}
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of the spec this status speaks of.
	// +kubebuilder:validation:Minimum=0
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// phase sums up the conditions in one word, for people and printer columns; programs read the conditions.
	// +kubebuilder:validation:Enum=Pending;Starting;Running;Restarting;Suspended;Succeeded;Failed;Rejected
	// +optional
	Phase string `json:"phase,omitempty"`

	// ready is the number of pods that run or have succeeded, of those wanted, such as 3/4.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16
	// +optional
	Ready string `json:"ready,omitempty"`

	// startTime is when the job was started or last resumed.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// runningTime is when every pod of the job ran for the first time.
	// +optional
	RunningTime *metav1.Time `json:"runningTime,omitempty"`

	// completionTime is when the job finished, either way.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// roles count the pods of each role.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Roles []RoleStatus `json:"roles,omitempty"`

	// restartCount is the number of restarts of all units so far, those the kubelet made in place included.
	// +kubebuilder:validation:Minimum=0
	// +optional
	RestartCount int32 `json:"restartCount,omitempty"`

	// restarts record the units (the job, a role, a replica) that were restarted, how often, and the last cause.
	// A pod is deleted for a restart only after the restart was recorded here.
	// +listType=map
	// +listMapKey=unit
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=10000
	// +optional
	Restarts []Restart `json:"restarts,omitempty"`

	// failure is the root cause of the last failure: the pod that failed first.
	// +optional
	Failure *Failure `json:"failure,omitempty"`

	// suspensions is how often the job was suspended, or evicted from its queue, after it had started. It is part of the attempt its pods carry as a label.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Suspensions int32 `json:"suspensions,omitempty"`

	// runningAttempt is the number of restarts and suspensions that were recorded when every pod of the job came to run; it is absent
	// while one does not. A pod that is missing then was deleted.
	// +kubebuilder:validation:Minimum=0
	// +optional
	RunningAttempt *int32 `json:"runningAttempt,omitempty"`

	// queue is how the job stands in the queue of spec.scheduling.queue.
	// +optional
	Queue *QueueStatus `json:"queue,omitempty"`

	// nodes are those that pods of the job had to leave or that turned them away, until they are healthy again.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Nodes []JudgedNode `json:"nodes,omitempty"`

	// checkpoint is what is known of the job's checkpoints and of the work that stops have cost.
	// +optional
	Checkpoint *CheckpointStatus `json:"checkpoint,omitempty"`

	// elastic is the state the scale subresource reads.
	// +optional
	Elastic *ElasticStatus `json:"elastic,omitempty"`

	// gang is what has become of the gang that spec.scheduling.gang asks for.
	// +optional
	Gang *GangStatus `json:"gang,omitempty"`
}

// RoleStatus counts the pods of a role.
type RoleStatus struct {
	// name of the role.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +required
	Name string `json:"name,omitempty"`

	// replicas is the number wanted.
	// +kubebuilder:validation:Minimum=0
	// +required
	Replicas *int32 `json:"replicas,omitempty"`

	// pending is the number of pods that wait for a node, an image or a start.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Pending int32 `json:"pending,omitempty"`

	// running is the number of pods that run.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Running int32 `json:"running,omitempty"`

	// succeeded is the number of replicas that ended well.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Succeeded int32 `json:"succeeded,omitempty"`

	// failed is the number of pods that failed and have not been replaced.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Failed int32 `json:"failed,omitempty"`

	// succeededIndexes are the indexes of the replicas that ended well in this attempt, such as 0-3,7. They are not run again when
	// their pods are deleted.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	// +optional
	SucceededIndexes string `json:"succeededIndexes,omitempty"`
}

// Restart records the restarts of one unit.
type Restart struct {
	// unit is what was restarted: job, or a role or replica in lower case, such as worker or worker-0.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +required
	Unit string `json:"unit,omitempty"`

	// count is the number of restarts charged to the budget.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Count int32 `json:"count,omitempty"`

	// lost is the number of replacements that were nobody's fault (deletions, evictions, lost nodes) and are not charged.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Lost int32 `json:"lost,omitempty"`

	// inPlace is the number of restarts the kubelet made in the pod that stands for the unit now. They are charged too,
	// and become part of count when the pod is replaced.
	// +kubebuilder:validation:Minimum=0
	// +optional
	InPlace int32 `json:"inPlace,omitempty"`

	// forgiven is the part of count and inPlace that is no longer held against the unit, because it went without a failure for
	// spec.runPolicy.restarts.windowSeconds.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Forgiven int32 `json:"forgiven,omitempty"`

	// peers is the number of restarts, among those lost or forgiven, that only told of a lost peer.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Peers int32 `json:"peers,omitempty"`

	// cause is the failure behind the last of them.
	// +optional
	Cause *Failure `json:"cause,omitempty"`
}

// Failure is why a pod failed.
type Failure struct {
	// pod that failed.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Pod string `json:"pod,omitempty"`

	// container that failed.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Container string `json:"container,omitempty"`

	// node the pod ran on.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Node string `json:"node,omitempty"`

	// exitCode of the container.
	// +optional
	ExitCode *int32 `json:"exitCode,omitempty"`

	// signal that ended the container, such as SIGKILL.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16
	// +optional
	Signal string `json:"signal,omitempty"`

	// reason in one word, such as Error, OOMKilled or Evicted.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Reason string `json:"reason,omitempty"`

	// message is the last lines of the container's termination message or log.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	Message string `json:"message,omitempty"`

	// time of the failure.
	// +optional
	Time *metav1.Time `json:"time,omitempty"`
}

// ElasticStatus is the state the scale subresource reads.
type ElasticStatus struct {
	// replicas is the number of workers that exist.
	// +kubebuilder:validation:Minimum=0
	// +required
	Replicas *int32 `json:"replicas,omitempty"`

	// selector selects the workers' pods.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Selector string `json:"selector,omitempty"`
}

// GetConditions returns the conditions of the job.
func (j *TrainingJob) GetConditions() []metav1.Condition { return j.Status.Conditions }

// SetConditions replaces the conditions of the job.
func (j *TrainingJob) SetConditions(c []metav1.Condition) { j.Status.Conditions = c }

// SetObservedGeneration records the generation the status speaks of.
func (j *TrainingJob) SetObservedGeneration(g int64) { j.Status.ObservedGeneration = g }
