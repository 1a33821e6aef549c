// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"k8s.io/apimachinery/pkg/runtime"
)

// Retain says how long the job of a trial stays.
//
// +kubebuilder:validation:Enum=WithTrial;Failed;Never
type Retain string

// The answers.
const (
	// RetainWithTrial keeps the job, and the logs of its pods, as long as its Trial.
	RetainWithTrial Retain = "WithTrial"
	// RetainFailed deletes the job when the trial has succeeded or was stopped.
	RetainFailed Retain = "Failed"
	// RetainNever deletes the job when the trial has ended.
	RetainNever Retain = "Never"
)

// TrialTemplate is the job that each trial runs, of any kind, with places for its parameters.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="has(self.job) != has(self.configMap)",message="trialTemplate: set one of job (the object itself) and configMap (where it is)"
type TrialTemplate struct {
	// job is the object that a trial creates: of any kind that the ClusterRole millrace-workloads allows, without a name and
	// namespace, which are the trial's. A text that is ${trialParameters.NAME} and nothing else becomes the value in its own type, a
	// number or a text; within a longer text it becomes the text of the value.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +optional
	Job *runtime.RawExtension `json:"job,omitempty"`

	// configMap has the object instead, in YAML or JSON.
	// +optional
	ConfigMap *TemplateConfigMap `json:"configMap,omitempty"`

	// parameters are the places of the template and what stands for them. Without any, ${trialParameters.NAME} stands for the parameter of
	// the search of that name.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Parameters []TrialParameter `json:"parameters,omitempty"`

	// success says when the job has succeeded. The usual kinds need none: batch Job, TrainingJob, JobSet, the jobs of Kubeflow, Argo
	// Workflow and Tekton PipelineRun.
	// +optional
	Success *JobCondition `json:"success,omitempty"`

	// failure says when the job has failed; it is looked at before success.
	// +optional
	Failure *JobCondition `json:"failure,omitempty"`

	// primaryPod are the pods whose metrics are the trial's.
	// +optional
	PrimaryPod *PrimaryPod `json:"primaryPod,omitempty"`

	// retain says how long the job stays: WithTrial, Failed (deleted when the trial succeeded) or Never (deleted when the trial ended).
	// +kubebuilder:default=WithTrial
	// +optional
	Retain Retain `json:"retain,omitempty"`
}

// TemplateConfigMap is where a template is.
type TemplateConfigMap struct {
	// name of the ConfigMap, in the namespace of the Experiment.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name,omitempty"`

	// key of its data.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Key string `json:"key,omitempty"`
}

// TrialParameter is a place of the template.
type TrialParameter struct {
	// name of the place: ${trialParameters.NAME}.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[^${}\s]+$`
	// +required
	Name string `json:"name,omitempty"`

	// source is what stands there: the name of a parameter of the search, or of the trial itself ${trialSpec.Name},
	// ${trialSpec.Namespace}, ${trialSpec.Kind}, ${trialSpec.APIVersion}, ${trialSpec.Annotations[KEY]}, ${trialSpec.Labels[KEY]} (of the
	// job, or what the algorithm notes of the trial, such as resource), or ${trialSpec.Parent}: the trial from whose checkpoint this one
	// goes on, which leaves nothing behind where there is none.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=384
	// +required
	Source string `json:"source,omitempty"`

	// description is for people.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Description string `json:"description,omitempty"`
}

// JobCondition says when a job is in a state.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="has(self.cel) != has(self.gjson)",message="success and failure: set one of cel and gjson"
type JobCondition struct {
	// cel is an expression over job, the object, that is true in the state, such as
	// job.status.conditions.exists(c, c.type == 'Complete' && c.status == 'True'). A field that is not there makes it false.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	CEL string `json:"cel,omitempty"`

	// gjson is a path over the object, as Katib has it, that finds something in the state, such as
	// status.conditions.#(type=="Complete")#|#(status=="True")#. It has no modifier but @this, and no list of several paths.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	GJSON string `json:"gjson,omitempty"`
}

// PrimaryPod are the pods whose metrics are a trial's.
//
// +kubebuilder:validation:MinProperties=1
type PrimaryPod struct {
	// labels the pods have; where they are left out, those that the kind gives to its first pod.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// container whose output is read; the first one where it is left out.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Container string `json:"container,omitempty"`
}

// CollectorKind is where metrics come from.
//
// +kubebuilder:validation:Enum=StdOut;File;TensorBoard;Prometheus;Push
type CollectorKind string

// The kinds of collectors.
const (
	CollectStdOut      CollectorKind = "StdOut"
	CollectFile        CollectorKind = "File"
	CollectTensorBoard CollectorKind = "TensorBoard"
	CollectPrometheus  CollectorKind = "Prometheus"
	CollectPush        CollectorKind = "Push"
)

// MetricsFormat is how metrics are written.
//
// +kubebuilder:validation:Enum=Text;JSON
type MetricsFormat string

// The formats.
const (
	FormatText MetricsFormat = "Text"
	FormatJSON MetricsFormat = "JSON"
)

// MetricsCollector says where the metrics of a trial come from.
//
// +kubebuilder:validation:XValidation:rule="!has(self.path) || self.kind in ['File', 'TensorBoard', 'Prometheus']",fieldPath=".path",message="metricsCollector.path goes with kind File, TensorBoard or Prometheus"
// +kubebuilder:validation:XValidation:rule="!has(self.port) || self.kind == 'Prometheus'",fieldPath=".port",message="metricsCollector.port goes with kind Prometheus"
// +kubebuilder:validation:XValidation:rule="!has(self.filters) || (self.kind in ['StdOut', 'File'] && (!has(self.format) || self.format == 'Text'))",fieldPath=".filters",message="metricsCollector.filters go with kind StdOut or File and format Text"
type MetricsCollector struct {
	// kind is where they come from: StdOut (the log of the primary pod), File or TensorBoard (files in the primary pod, read by a container that is
	// added to it), Prometheus (an endpoint of the primary pod) or Push (the training sends them itself).
	// +kubebuilder:default=StdOut
	// +optional
	Kind CollectorKind `json:"kind,omitempty"`

	// format of StdOut and File: Text (name=value, or what filters find) or JSON (an object in each line).
	// +kubebuilder:default=Text
	// +optional
	Format MetricsFormat `json:"format,omitempty"`

	// filters are regular expressions with two groups, the name and the value of a metric.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	// +optional
	Filters []string `json:"filters,omitempty"`

	// path of the file or directory, or of the endpoint: /metrics where it is left out.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^/`
	// +optional
	Path string `json:"path,omitempty"`

	// port of the endpoint; 8080 where it is left out.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	Port int32 `json:"port,omitempty"`
}
