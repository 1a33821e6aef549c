// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package trial runs Trials: each makes one job, of any kind that its template names, and keeps what was measured.
//
//	(new) ---> job made ---> Running ---> job succeeded ---> metrics read ---> Succeeded
//	  |           |  ^           |              |
//	  |           v  |           |              +--> no value, not a number --> MetricsUnavailable
//	  |         queued           +--> job failed --> Failed
//	  |                          +--> spec.stop, or the job was deleted --> EarlyStopped, Killed
//	  v
//	Rejected: no job can be made of the template, or its kind is not allowed
//
// The job is created once, under the name of the trial, and is owned by it: it goes with it. A job that is suspended or waits in a queue
// is Pending. The end of a trial is remembered and never taken back. Jobs are read by watches that are opened for kinds in use, and
// metrics come from a Meter, which is no part of this package.
//
// What kinds of jobs there may be the ClusterRole millrace-workloads says, which is not generated: it gathers other roles.
//
// +kubebuilder:rbac:groups=millrace.dev,resources=trials,verbs=get;list;watch
// +kubebuilder:rbac:groups=millrace.dev,resources=trials/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
package trial
