// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Culling says when a server is stopped by itself.
type Culling struct {
	// idleMinutes is how long nothing may have been used before the server is stopped; 0 is never.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=525600
	// +optional
	IdleMinutes *int32 `json:"idleMinutes,omitempty"`

	// connections says whether an open connection to a kernel, such as that of a browser's tab, and an open terminal keep the server up: Count,
	// where nobody says otherwise, or Ignore.
	// +optional
	Connections Connections `json:"connections,omitempty"`

	// maxHours is how long the server may run at all before it is stopped, used or not; 0 is without end.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=87600
	// +optional
	MaxHours *int32 `json:"maxHours,omitempty"`

	// schedules stop and start the server at times of the clock.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +optional
	Schedules []Schedule `json:"schedules,omitempty"`
}

// Connections says whether open connections count as use.
//
// +kubebuilder:validation:Enum=Count;Ignore
type Connections string

// The answers.
const (
	// CountConnections takes an open connection for use.
	CountConnections Connections = "Count"
	// IgnoreConnections does not.
	IgnoreConnections Connections = "Ignore"
)

// Schedule stops the server at times of the clock, and starts it.
type Schedule struct {
	// stop is when the server is stopped, as in cron, such as "0 20 * * 1-5".
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^\\\\S+( \\\\S+){4}$')",message="culling.schedules[].stop must be five fields, as in cron: minute, hour, day, month, day of the week, such as 0 20 * * 1-5"
	// +required
	Stop string `json:"stop,omitempty"`

	// start is when a server that a schedule has stopped is started again.
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^\\\\S+( \\\\S+){4}$')",message="culling.schedules[].start must be five fields, as in cron: minute, hour, day, month, day of the week, such as 0 8 * * 1-5"
	// +optional
	Start string `json:"start,omitempty"`

	// timeZone of the times, such as Europe/Berlin.
	// +kubebuilder:default=UTC
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +optional
	TimeZone string `json:"timeZone,omitempty"`
}

// ProfileCulling says when the notebooks of a namespace are stopped by themselves, in place of the manager's configuration.
type ProfileCulling struct {
	Culling `json:",inline"`

	// override says what spec.culling of a notebook may do: Any, or Stricter, by which it can be stopped sooner and not later; its schedules are then
	// added to these.
	// +kubebuilder:default=Any
	// +optional
	Override CullingOverride `json:"override,omitempty"`
}

// CullingOverride says what a notebook's own policy may do.
//
// +kubebuilder:validation:Enum=Any;Stricter
type CullingOverride string

// The answers.
const (
	// OverrideAny lets a notebook's own word count.
	OverrideAny CullingOverride = "Any"
	// OverrideStricter lets it count where the server is stopped sooner by it.
	OverrideStricter CullingOverride = "Stricter"
)

// CullingSource says whose word counts.
//
// +kubebuilder:validation:Enum=Manager;Profile;Notebook
type CullingSource string

// The sources.
const (
	// CullingByManager is the manager's configuration.
	CullingByManager CullingSource = "Manager"
	// CullingByProfile is the Profile of the namespace.
	CullingByProfile CullingSource = "Profile"
	// CullingByNotebook is the notebook itself.
	CullingByNotebook CullingSource = "Notebook"
)

// CullingTerm is a part of the policy by which a server is stopped.
type CullingTerm struct {
	// field of the policy: idleMinutes, maxHours, connections or schedules.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +required
	Field string `json:"field,omitempty"`

	// value that counts.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +required
	Value string `json:"value,omitempty"`

	// from is whose word it is: the Manager's configuration, the Profile of the namespace, or the Notebook.
	// +required
	From CullingSource `json:"from,omitempty"`
}
