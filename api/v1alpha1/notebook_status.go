// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Conditions of a Notebook, beside Accepted, Scheduled, Running, Reconciling and Stalled. Ready is the root: the notebook is as it is
// wanted, running or stopped. All of them are always present.
const (
	// ConditionStopped is True while the server is kept away: by spec.stopped, an annotation or culling.
	ConditionStopped = "Stopped"
	// ConditionRouted is True when the address leads to the server.
	ConditionRouted = "Routed"
	// ConditionUpToDate is False while changes wait for the next start.
	ConditionUpToDate = "UpToDate"
	// ConditionActivityKnown is True when the server tells when it was last used. One that does not is never stopped for being idle.
	ConditionActivityKnown = "ActivityKnown"
)

// Reasons of the conditions of a Notebook, beside those it shares with other kinds.
const (
	// ReasonServing: the server is up.
	ReasonServing = "Serving"
	// ReasonStopped: the server is stopped, as it is wanted.
	ReasonStopped = "Stopped"
	// ReasonStopping: the server is ending.
	ReasonStopping = "Stopping"
	// ReasonStoppedBySpec: spec.stopped is true.
	ReasonStoppedBySpec = "StoppedBySpec"
	// ReasonStoppedByAnnotation: the annotation kubeflow-resource-stopped is there.
	ReasonStoppedByAnnotation = "StoppedByAnnotation"
	// ReasonIdle: nothing was used for longer than the culling policy allows.
	ReasonIdle = "Idle"
	// ReasonMaxLife: the server ran for as long as the culling policy allows.
	ReasonMaxLife = "MaxLife"
	// ReasonScheduled: a schedule of the culling policy stopped the server.
	ReasonScheduled = "Scheduled"
	// ReasonNotStopped: nothing keeps the server away.
	ReasonNotStopped = "NotStopped"
	// ReasonServerStarting: the container is being started, or does not answer yet.
	ReasonServerStarting = "ServerStarting"
	// ReasonServerCrashed: the server ended, and is started again by the kubelet.
	ReasonServerCrashed = "ServerCrashed"
	// ReasonPodRefused: the API server refuses the pod.
	ReasonPodRefused = "PodRefused"
	// ReasonRouteReady: the route is there.
	ReasonRouteReady = "RouteReady"
	// ReasonNoRoute: there is no route; mill notebook open reaches the server.
	ReasonNoRoute = "NoRoute"
	// ReasonRouteNotServed: the cluster does not serve the kind of route that is asked for.
	ReasonRouteNotServed = "RouteNotServed"
	// ReasonRouteNotConfigured: the manager's configuration names no gateway for the kind of route that is asked for.
	ReasonRouteNotConfigured = "RouteNotConfigured"
	// ReasonRouteNotAccepted: no gateway has taken the route.
	ReasonRouteNotAccepted = "RouteNotAccepted"
	// ReasonCurrent: the server that runs is the one that is wanted.
	ReasonCurrent = "Current"
	// ReasonChangesPending: changes wait for the next start.
	ReasonChangesPending = "ChangesPending"
	// ReasonAnswered: the server tells when it was last used.
	ReasonAnswered = "Answered"
	// ReasonNoAnswer: the server cannot be asked when it was last used, or its answer is not understood.
	ReasonNoAnswer = "NoAnswer"
	// ReasonNotAsked: the server is not asked, because it does not run or is not stopped when it is idle.
	ReasonNotAsked = "NotAsked"
	// ReasonInvalidSchedule: a schedule of the culling policy cannot be read.
	ReasonInvalidSchedule = "InvalidSchedule"
)

// Phases of a Notebook, beside Pending, Starting, Running, Failed and Rejected: a summary of its conditions for the printer column.
const (
	PhaseStopping = "Stopping"
	PhaseStopped  = "Stopped"
)

// NotebookStatus is what has become of a notebook.
type NotebookStatus struct {
	// conditions are the state of the notebook. Ready is the one that decides.
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:default={{type: Ready, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Accepted, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Scheduled, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Running, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Stopped, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Routed, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: UpToDate, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: ActivityKnown, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Reconciling, status: "True", reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}, {type: Stalled, status: Unknown, reason: Pending, message: "Waiting for the manager.", lastTransitionTime: "1970-01-01T00:00:00Z"}}
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of the spec this status speaks of.
	// +kubebuilder:validation:Minimum=0
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// phase sums up the conditions in one word, for people and printer columns; programs read the conditions.
	// +kubebuilder:validation:Enum=Pending;Starting;Running;Stopping;Stopped;Failed;Rejected
	// +optional
	Phase string `json:"phase,omitempty"`

	// url is where the server is reached; the path alone where the manager does not know the host.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	URL string `json:"url,omitempty"`

	// startTime is when the pod that there is was made.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// runningTime is when the server was up for the first time.
	// +optional
	RunningTime *metav1.Time `json:"runningTime,omitempty"`

	// lastActivity is when the server was last used, as far as it tells. It is written now and then, not with every use: it may be
	// behind by a tenth of the time after which the server is idle.
	// +optional
	LastActivity *metav1.Time `json:"lastActivity,omitempty"`

	// cullTime is when the server is stopped if it is not used until then, or the earliest of that, the end of its longest life, and
	// the next time of a schedule. Like lastActivity it may be behind.
	// +optional
	CullTime *metav1.Time `json:"cullTime,omitempty"`

	// culling is the policy by which the server is stopped, and whose word each part of it is.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +optional
	Culling []CullingTerm `json:"culling,omitempty"`

	// pendingChanges are what differs between the server that runs and the one that is wanted, and waits for the next start.
	// +listType=map
	// +listMapKey=field
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +optional
	PendingChanges []PendingChange `json:"pendingChanges,omitempty"`

	// resizeRefused is the last change of cpu and memory that could not be made while the server ran.
	// +optional
	ResizeRefused *ResizeRefusal `json:"resizeRefused,omitempty"`

	// failure is the last end of a container that was started again.
	// +optional
	Failure *Failure `json:"failure,omitempty"`
}

// PendingChange is a difference that waits for the next start.
type PendingChange struct {
	// field that differs, such as image, env or accelerator.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +required
	Field string `json:"field,omitempty"`

	// from is the value that runs, where it is short.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +optional
	From string `json:"from,omitempty"`

	// to is the value that is wanted, where it is short.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +optional
	To string `json:"to,omitempty"`
}

// ResizeRefusal is a change of cpu and memory that could not be made while the server ran.
type ResizeRefusal struct {
	// resources that were wanted, in a digest, so that the same is not tried again.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +required
	Resources string `json:"resources,omitempty"`

	// message is the API server's.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +required
	Message string `json:"message,omitempty"`
}

// GetConditions returns the conditions of the notebook.
func (n *Notebook) GetConditions() []metav1.Condition { return n.Status.Conditions }

// SetConditions replaces the conditions of the notebook.
func (n *Notebook) SetConditions(c []metav1.Condition) { n.Status.Conditions = c }

// SetObservedGeneration records the generation the status speaks of.
func (n *Notebook) SetObservedGeneration(g int64) { n.Status.ObservedGeneration = g }
