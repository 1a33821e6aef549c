// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package bench measures the manager against a plain client, in the same run and as the same kind of user, one that API
// priority and fairness treats as any other. It prints; what it asserts are counts, never times.
//
// The manager is the real program in a process of its own, with the generated role, on a real API server. Kubelets are
// played: one goroutine pool writes pods' statuses as a node would. The API server writes down what the manager asks.
//
//	rate:  jobs are made --> every pod exists                       and a plain client makes the same pods
//	held:  the same with the manager stopped until all jobs exist: what it makes of them in one go
//	scale: the life of new jobs beside thousands of finished ones; a storm that fails a fifth of all pods
//	gangs: jobs are made --> a real scheduler places all --> all run    on 500 nodes, with and without a gang
//	notebooks: thousands stopped and a thousand that run, at rest and asked when they were last used
//	life:  jobs are made --> first pod --> all run --> succeeded    writes for each job, then silence
package bench
