// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"time"

	"github.com/go-logr/logr"
)

// Janitor does a chore in a store from time to time. It is a Runnable of the leader.
type Janitor struct {
	// Do is the chore, Failed what the log says when it could not be done.
	Do     func(context.Context) error
	Failed string
	// Ticks are the moments to do it.
	Ticks <-chan time.Time
	Log   logr.Logger
}

// NeedLeaderElection makes it the leader's.
func (j *Janitor) NeedLeaderElection() bool { return true }

// Start works until the context ends.
func (j *Janitor) Start(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-j.Ticks:
			if err := j.Do(ctx); err != nil && ctx.Err() == nil {
				j.Log.Error(err, j.Failed)
			}
		}
	}
}
