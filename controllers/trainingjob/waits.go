// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package trainingjob

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/millrace-ml/millrace/internal/framework"
)

// wait is why no pod of a job is made now.
type wait struct {
	// status is what Scheduled says of it: False when it is known what is short, Unknown otherwise.
	status          metav1.ConditionStatus
	reason, message string
	// again is when to look again though nothing has happened, and 0 where an event will tell.
	again time.Duration
}

// waits are asked in order before pods are made; the first to answer is what the job waits for. Pods that exist stay.
var waits = []func(*state) (wait, bool){lacksDevices, clashes, queueing, awaitsReplacement, awaitsPlacer, awaitsTry, awaitsGroup}

// shaper completes a pod before it is made.
type shaper func(*state, framework.Member, *corev1.Pod)

// shapers are asked in order. Those in bare come before PodDefaults, which see what they do.
var (
	bare    = []shaper{resumable, giveDevices}
	shapers = append(slices.Clone(bare), dress, place, join, gather, avoid)
)

// ask finds what the job waits for before it makes pods, if anything.
func (s *state) ask() *wait {
	for _, question := range waits {
		if w, waiting := question(s); waiting {
			return &w
		}
	}
	return nil
}

// make is the pod of a replica's next attempt.
func (s *state) make(r replica) *corev1.Pod { return s.shaped(r, shapers) }

func (s *state) shaped(r replica, by []shaper) *corev1.Pod {
	p := pod(r.Member, r.attempt)
	for _, shape := range by {
		shape(s, r.Member, p)
	}
	return p
}
