// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package launcher is what runs of Millrace inside users' pods: small helpers in one static binary, which speak to the API
// server with what a pod has, a token and a CA, and nothing else.
//
// Heartbeat tells Millrace of progress: a training touches a file, the helper beside it sees the file change and writes the time
// into an annotation of its pod, with the step and the last checkpoint where the file says. A training that hangs touches nothing, and spec.runPolicy.progressDeadlineSeconds ends the job.
package launcher
