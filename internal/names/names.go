// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package names holds every name and label Millrace gives to objects. Names are computed from the owner, the role and
// the index, so that two passes, or two managers, can never make two of a thing.
package names

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// Labels and annotations of the objects Millrace makes.
const (
	ManagedBy = "app.kubernetes.io/managed-by"
	AppName   = "app.kubernetes.io/name"
	Instance  = "app.kubernetes.io/instance"
	Component = "app.kubernetes.io/component"

	// Manager is the value of ManagedBy.
	Manager = "millrace"

	// TrainingJob is the label with the name of the job a pod or Service belongs to.
	TrainingJob = "millrace.dev/trainingjob"
	// Notebook is the label with the name of the notebook an object belongs to.
	Notebook = "millrace.dev/notebook"
	// Role is the label with a pod's role in lower case.
	Role = "millrace.dev/role"
	// Index is the label with a pod's index in its role, from 0.
	Index = "millrace.dev/index"
	// Attempt is the label with the number of times a pod's replica was replaced before this pod, from 0.
	Attempt = "millrace.dev/attempt"
	// Accelerator is the label with the name of the Accelerator a pod asked for.
	Accelerator = "millrace.dev/accelerator"
	// AcceleratorForm is the label of the same pod with a digest of what the Accelerator meant when the pod was made.
	AcceleratorForm = "millrace.dev/accelerator-form"
	// Experiment is the label with the name of the Experiment that an object is part of.
	Experiment = "millrace.dev/experiment"
	// Trial is the label with the name of the Trial that a job and its pods belong to.
	Trial = "millrace.dev/trial"
	// Profile is the label with the Profile of a pod that shares a device.
	Profile = "millrace.dev/profile"

	// Heartbeat is the annotation of a pod, or of its job, with the time of the last progress in RFC 3339.
	Heartbeat = "millrace.dev/heartbeat"
	// Step is the annotation of the same objects with the step of the training.
	Step = "millrace.dev/step"
	// Checkpoint is the annotation of the same objects with the time of the last checkpoint in RFC 3339.
	Checkpoint = "millrace.dev/checkpoint"
	// Avoids is the annotation of a pod with the nodes it was kept away from because they were judged bad, and of a Workload with those
	// that its pods are to be kept away from.
	Avoids = "millrace.dev/avoids"
	// Cordoned is the annotation of a node that Millrace has cordoned, with the Accelerator it was done for, why and since when, in JSON.
	Cordoned = "millrace.dev/cordoned"
	// KeptFor is the annotation of an object with the UID of its owner, where it is to outlive the owner and has no owner reference.
	KeptFor = "millrace.dev/kept-for"
	// Adopt is the annotation of a namespace with the name of the owner of the Profile that may take it over.
	Adopt = "millrace.dev/adopt"
	// Reaches is the label of namespaces whose pods reach those of every Profile, if it is Allow.
	Reaches = "millrace.dev/reaches-profiles"
	// Viewers is the label of pods that viewers of a Profile may see over the mesh, if it is Allow.
	Viewers = "millrace.dev/viewers"
	// ProfileSecret is the label of Secrets from which those of Profiles may be made, if it is "true".
	ProfileSecret = "millrace.dev/profile-secret"
	// PodDefaults is the label of pods that are not Millrace's and ask for PodDefaults, if it is "true".
	PodDefaults = "millrace.dev/poddefaults"
	// Asks is the annotation of a Workload with a digest of what its pods ask for.
	Asks = "millrace.dev/asks"

	// MadeFrom is the annotation of a notebook's pod with what it was made from, by field.
	MadeFrom = "millrace.dev/made-from"
	// DefaultContainer is the annotation by which a mesh notes which container was the first before it put its own there.
	DefaultContainer = "kubectl.kubernetes.io/default-container"
	// Restart is the annotation of a notebook with the UID of the pod that is to be replaced by a new one.
	Restart = "millrace.dev/restart"
	// Stopped is the annotation of a notebook, Kubeflow's own, that keeps its server away; the value is the time in RFC 3339.
	Stopped = "kubeflow-resource-stopped"
	// StoppedBecause is the annotation of a notebook that Millrace stopped, with the reason in a word and the time.
	StoppedBecause = "millrace.dev/stopped-because"

	// EnvAttempt and EnvCheckpointDir are the variables by which every container knows its attempt, and where checkpoints are kept.
	EnvAttempt       = "MILLRACE_ATTEMPT"
	EnvCheckpointDir = "MILLRACE_CHECKPOINT_DIR"

	// EnvMetricsURL, EnvMetricsToken and EnvMetricsCA are the variables by which a container knows where to push metrics to, and the
	// files with its token and with the certificate of who takes them.
	EnvMetricsURL   = "MILLRACE_METRICS_URL"
	EnvMetricsToken = "MILLRACE_METRICS_TOKEN_FILE"
	EnvMetricsCA    = "MILLRACE_METRICS_CA_FILE"

	// Audience is whom the tokens of pods that push are for.
	Audience = "millrace.dev"
	// Authority is the ConfigMap with the manager's CA, in each namespace that needs it, and AuthorityKey where in it.
	Authority    = "millrace-ca"
	AuthorityKey = "ca.crt"
	// Server is the Service of the manager's HTTP server and the Secret with its CA, and ServerPort its port.
	Server     = "millrace-server"
	ServerPort = 9443
)

// labelLength is the most a DNS label and a label value can hold.
const labelLength = 63

// Member is the name of a replica's pod and its host name: owner-role-index.
func Member(owner, role string, index int) string {
	return Short(owner + "-" + Lower(role) + "-" + strconv.Itoa(index))
}

// Keys is the name of the Secret with a job's ssh keys.
func Keys(owner string) string { return Short(owner + "-ssh") }

// Config is the name of the ConfigMap with a job's files.
func Config(owner string) string { return Short(owner + "-config") }

// Claims is the name of the ResourceClaimTemplate for the pods of a role. It tells what is asked for: a template cannot change, and
// pods that are made later may ask for something else.
func Claims(owner, role, content string) string {
	return Short(owner + "-" + Lower(role) + "-" + Digest(content))
}

// TrialOf is the name of the Trial of an index of an Experiment, whose name is short enough.
func TrialOf(experiment string, index int) string { return experiment + "-" + strconv.Itoa(index) }

// Record is the name of the ConfigMap with a page of an Experiment's older trials.
func Record(experiment string, page int) string {
	return experiment + "-trials-" + strconv.Itoa(page)
}

// WorkspaceClaim is the name that a StatefulSet gives to the claim of a notebook's workspace.
func WorkspaceClaim(owner string) string { return Workspace + "-" + owner + "-0" }

// Workspace is the name of a notebook's volume with its user's files.
const Workspace = "workspace"

// NotebookRoute is the name of the route to a notebook, as Kubeflow gives it.
func NotebookRoute(namespace, owner string) string { return "notebook-" + namespace + "-" + owner }

// NotebookPath is the path below which a notebook's server is, without the last slash.
func NotebookPath(namespace, owner string) string { return "/notebook/" + namespace + "/" + owner }

// Workload is the name of the Kueue Workload that stands for a job.
func Workload(owner string) string { return Short("trainingjob-" + owner) }

// Host is the address of a pod behind its owner's headless Service.
func Host(pod, service, namespace string) string {
	return pod + "." + service + "." + namespace + ".svc"
}

// MetricsURL is where the metrics of a trial are pushed to, with the namespace of the manager.
func MetricsURL(manager, namespace, trial string) string {
	return "https://" + Server + "." + manager + ".svc:" + strconv.Itoa(ServerPort) + "/v1/namespaces/" + namespace + "/trials/" + trial + "/metrics"
}

// Lower is a role as names and labels write it.
func Lower(role string) string { return strings.ToLower(role) }

// Short is the name itself when it fits into a DNS label. A longer one is cut and ends in a hash of the whole, so that
// two long names that begin alike stay apart.
func Short(name string) string {
	if len(name) <= labelLength {
		return name
	}
	tail := "-" + Digest(name)
	return strings.TrimRight(name[:labelLength-len(tail)], "-.") + tail
}

// Digest tells texts apart in a few letters.
func Digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}
