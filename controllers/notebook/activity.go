// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package notebook

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/millrace-ml/millrace/internal/activity"
	"github.com/millrace-ml/millrace/internal/culling"
)

// Activity is what is known of the use of a pod's server.
type Activity struct {
	// Pod is the UID of the pod that was asked: what is known of one says nothing of the next.
	Pod types.UID
	// Last is when it was last used, rounded down to the grain of its policy, so that use alone is not news all the time.
	Last metav1.Time
	// Fault is why it cannot be told, empty when it can.
	Fault string
	// Idle is when the server was asked and told that it is idle for longer than its policy allows; zero when it is not. Only a
	// server that has just been asked is stopped.
	Idle metav1.Time
}

// fresh is how old an answer may be by which a server is stopped.
const fresh = 2 * time.Minute

// grain is the precision with which use is recorded: a tenth of the time that matters, between one and fifteen minutes.
func grain(c culling.Policy) time.Duration { return min(max(c.Idle/10, time.Minute), 15*time.Minute) }

// judge is what an answer that is given now says about a pod. What is known from before, such as when the pod was started, is not forgotten.
func judge(c culling.Policy, pod types.UID, known time.Time, a activity.Answer, now time.Time) Activity {
	if c.IgnoreConnections {
		a.Connections = 0
	}
	last := a.LastUse(now)
	if last.Before(known) {
		last = known
	}
	found := Activity{Pod: pod, Last: metav1.NewTime(last.Truncate(grain(c)))}
	if c.Idle > 0 && now.Sub(last) >= c.Idle {
		found.Idle = metav1.NewTime(now)
	}
	return found
}
