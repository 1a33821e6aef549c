// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package launcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"
)

// Heartbeat tells when a file was last touched.
type Heartbeat struct {
	// File is touched by the training. It need not exist yet.
	File string
	// Looks are the moments to look at the file.
	Looks <-chan time.Time
	// Tell publishes the last touch and what the file says.
	Tell func(context.Context, Beat) error
	Log  *slog.Logger
}

// Beat is a sign of progress.
type Beat struct {
	// At is when the file was touched.
	At time.Time
	// Step is the step of the training, and Checkpoint when the last checkpoint was written in RFC 3339; empty where the file does
	// not say.
	Step, Checkpoint string
}

// most is how much of a file is read: it says a few words.
const most = 4096

// read takes step=NUMBER and checkpoint=TIME from the words of a file; it may hold others, and need not hold any. What is half
// written is passed over, and told of at the next beat.
func (b *Beat) read(text string) {
	for word := range strings.FieldsSeq(text) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "step":
			if n, err := strconv.ParseInt(value, 10, 64); err == nil && n >= 0 {
				b.Step = value
			}
		case "checkpoint":
			if at, err := time.Parse(time.RFC3339, value); err == nil {
				b.Checkpoint = at.UTC().Format(time.RFC3339)
			}
		}
	}
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
	file, err := os.Open(h.File)
	if errors.Is(err, fs.ErrNotExist) {
		return told, nil
	}
	if err != nil {
		return told, fmt.Errorf("looking at the heartbeat file: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return told, fmt.Errorf("looking at the heartbeat file: %w", err)
	}
	// The annotation has whole seconds.
	at := info.ModTime().UTC().Truncate(time.Second)
	if !at.After(told) {
		return told, nil
	}
	text, err := io.ReadAll(io.LimitReader(file, most))
	if err != nil {
		return told, fmt.Errorf("reading the heartbeat file: %w", err)
	}
	beat := Beat{At: at}
	beat.read(string(text))
	if err := h.Tell(ctx, beat); err != nil {
		return told, err
	}
	return at, nil
}
