// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/millrace-ml/millrace/internal/trialjob"
)

// Reading is whether the job of a trial could be looked for.
type Reading string

// The answers.
const (
	// Unneeded: nothing is to be decided by the job.
	Unneeded Reading = ""
	// Unknown: the watch on the kind is being opened.
	Unknown Reading = "Unknown"
	// Read: the job is as it is in World.
	Read Reading = "Read"
	// Unserved: the cluster does not serve the kind.
	Unserved Reading = "Unserved"
	// Forbidden: the manager may not read the kind.
	Forbidden Reading = "Forbidden"
	// ClusterWide: objects of the kind are in no namespace.
	ClusterWide Reading = "ClusterWide"
)

// World is what a Trial is decided by.
type World struct {
	// Reading is whether Job is known, and Why what the API server says where it is not.
	Reading Reading
	Why     string
	// Job is the job; nil where it is not there.
	Job *unstructured.Unstructured
	// Cause is how the first of its pods failed, where the job failed.
	Cause string
	// Requests are what its pods hold together now, Held the most that those which are there held at once, and Began is when the first
	// container of them started.
	Requests, Held corev1.ResourceList
	Began          time.Time
	// Measured is what is known of its metrics. Unmetered is true when nobody measures anything here.
	Measured  trialjob.Measured
	Unmetered bool
	// Server is where metrics are pushed to; Unpublished says why pods of the namespace could not trust it.
	Server      trialjob.Server
	Unpublished string
}
