// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package console tells the person who waits what is going on: a line that moves on a terminal, plain
// lines with a heartbeat elsewhere. It writes to standard error only; standard output is for results.
package console

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// heartbeat is how often a long step reports where nothing can move: often enough for a build system
// that stops silent jobs.
const heartbeat = time.Minute

// frames of the spinner.
var frames = []string{"|", "/", "-", "\\"}

// Console writes progress.
type Console struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	now      func() time.Time
}

// New returns a console on the given file, which decides whether lines may move.
func New(out *os.File) *Console {
	info, err := out.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
	return &Console{out: out, terminal: terminal, now: time.Now}
}

// Say writes one line.
func (c *Console) Say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(c.out, format+"\n", args...)
}

// Step runs a piece of work and reports its beginning, that it still runs, and how it ended.
func (c *Console) Step(title string, work func() error) error {
	start := c.now()
	stop := c.follow(title, start)
	err := work()
	stop()
	took := c.now().Sub(start).Round(100 * time.Millisecond)
	if err != nil {
		c.Say("%s: failed after %s", title, took)
		return err
	}
	c.Say("%s: done in %s", title, took)
	return nil
}

// follow reports a running step until the function it returns is called.
func (c *Console) follow(title string, start time.Time) (stop func()) {
	interval := heartbeat
	if c.terminal {
		interval = 200 * time.Millisecond
	} else {
		c.Say("%s...", title)
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for tick := 0; ; tick++ {
			select {
			case <-done:
				return
			case now := <-ticker.C:
				c.tick(title, now.Sub(start).Round(time.Second), tick)
			}
		}
	}()
	return func() {
		close(done)
		<-ended
		c.clear()
	}
}

func (c *Console) tick(title string, elapsed time.Duration, tick int) {
	if !c.terminal {
		c.Say("%s: %s so far", title, elapsed)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(c.out, "\r\033[K%s %s (%s)", frames[tick%len(frames)], title, elapsed)
}

func (c *Console) clear() {
	if !c.terminal {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprint(c.out, "\r\033[K")
}

// Tail returns the last lines of a file, indented for an error message; nothing when it has none.
func Tail(path string, lines int) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return LastLines(string(content), lines)
}

// LastLines returns the last lines of a text, indented for an error message; nothing when it is empty.
func LastLines(text string, lines int) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	all := strings.Split(text, "\n")
	all = all[max(0, len(all)-lines):]
	return "\n  " + strings.Join(all, "\n  ")
}
