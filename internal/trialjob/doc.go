// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package trialjob makes the job of a trial from its template, and tells from the job how the trial goes.
//
//	template + assignments + trial  ──Render──►  job  ──(cluster)──►  job with a status  ──Judge──►  Verdict
//
// It is pure. What differs between kinds of jobs is a row of a table; a kind that is not in it needs conditions of its own.
package trialjob
