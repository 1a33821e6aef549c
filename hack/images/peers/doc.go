// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Peers proves a rendezvous contract without the framework that reads it. It takes its task and everybody's address from
// TF_CONFIG, or from MX_CONFIG and the DMLC_ variables; listens on its own port; and asks every peer who it is and whether it has
// met all of its own:
//
//	listen ---> ask each peer ---> met all: say so to those who ask ---> all have met all: exit 0
//	                  \                                                     (a parameter server goes on until it is killed)
//	                   +---> a peer was not met in time, or says it is another: name it, exit 1
//
// A peer that was met and is gone has finished: it leaves only when it knows that everybody was met.
package main
