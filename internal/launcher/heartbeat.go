// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package launcher

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"
)

// Heartbeat tells when a file was last touched.
type Heartbeat struct {
	// File is touched by the training. It need not exist yet.
	File string
	// Looks are the moments to look at the file.
	Looks <-chan time.Time
	// Tell publishes the time of the last touch.
	Tell func(context.Context, time.Time) error
	Log  *slog.Logger
}

// Run looks at the file until the context ends. What could not be told is told at the next look: an API server that does not
// answer for a while must not end a training.
func (h *Heartbeat) Run(ctx context.Context) error {
	var told time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.Looks:
			at, err := h.beat(ctx, told)
			if err != nil {
				h.Log.Error("The heartbeat was not told", "error", err)
				continue
			}
			told = at
		}
	}
}

// beat tells of the file when it changed since it was told of, and returns what was told last.
func (h *Heartbeat) beat(ctx context.Context, told time.Time) (time.Time, error) {
	info, err := os.Stat(h.File)
	if errors.Is(err, fs.ErrNotExist) {
		return told, nil
	}
	if err != nil {
		return told, fmt.Errorf("looking at the heartbeat file: %w", err)
	}
	// The annotation has whole seconds.
	at := info.ModTime().UTC().Truncate(time.Second)
	if !at.After(told) {
		return told, nil
	}
	if err := h.Tell(ctx, at); err != nil {
		return told, err
	}
	return at, nil
}
