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
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/millrace-ml/millrace/internal/observe"
)

// Collect reads metrics from the files of a training and pushes them.
//
// What was read and not yet taken is in State, with the places in the files behind it: a sidecar that is killed at any moment sends
// the same values again, by which the store knows them, and goes on behind them.
type Collect struct {
	// Path is a file, or, with FormatTensorBoard, a directory of event files. It need not exist yet.
	Path   string
	Format observe.Format
	// Metrics are wanted. Filters are of FormatText.
	Metrics, Filters []string
	// State is a file of our own; it survives a restart of the container.
	State string
	// Looks are the moments to look at the files.
	Looks <-chan time.Time
	Now   func() time.Time
	// Push sends samples of one source. It may be called again with the same samples.
	Push func(ctx context.Context, source string, samples []observe.Sample) error
	Log  *slog.Logger

	parser observe.Parser
	events observe.Events
	state  state
	// over is true once the training has ended: a last line without an end is a line then.
	over bool
}

// Run looks at the files until the context ends, and once more then: the training has ended by then and has written everything. The
// error is what could not be pushed in the end.
func (c *Collect) Run(ctx context.Context, farewell time.Duration) error {
	if c.Format == observe.FormatTensorBoard {
		c.events = observe.Events{Metrics: c.Metrics}
	} else {
		parser, err := observe.New(c.Format, c.Metrics, c.Filters)
		if err != nil {
			return err
		}
		c.parser = parser
	}
	if err := c.state.load(c.State); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return c.last(context.WithoutCancel(ctx), farewell)
		case <-c.Looks:
			if _, err := c.look(ctx); err != nil && ctx.Err() == nil {
				c.Log.Error("Metrics were not pushed; they are kept and tried again", "error", err)
			}
		}
	}
}

// last pushes what there is until nothing is left or time is up.
func (c *Collect) last(ctx context.Context, farewell time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	c.over = true
	for {
		more, err := c.look(ctx)
		switch {
		case err == nil && !more:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("metrics were lost: %w", err)
		case err == nil:
			continue
		}
		c.Log.Error("Metrics were not pushed; they are tried again", "error", err)
		select {
		case <-ctx.Done():
			return fmt.Errorf("metrics were lost: %w", err)
		case <-c.Looks:
		}
	}
}

// batch is how many samples are pushed at once.
const batch = 1000

// look pushes what is new in the files, and says whether there is more.
func (c *Collect) look(ctx context.Context) (more bool, err error) {
	files, err := c.files()
	if err != nil {
		return false, err
	}
	for _, file := range files {
		for {
			n, err := c.advance(ctx, file)
			if err != nil {
				return false, err
			}
			if n == 0 {
				break
			}
			more = true
		}
	}
	return more, nil
}

// advance pushes the next samples of a file, and returns by how many bytes it came on.
func (c *Collect) advance(ctx context.Context, file string) (int64, error) {
	p := c.state.of(file)
	if len(p.Pending) == 0 {
		if err := c.read(file, p); err != nil {
			return 0, err
		}
		if p.Next == p.Offset {
			return 0, nil
		}
		if err := c.state.save(c.State); err != nil {
			return 0, err
		}
	}
	samples, err := observe.Unpack(p.Pending)
	if err != nil {
		return 0, err
	}
	if len(samples) > 0 {
		err := c.Push(ctx, file, samples)
		if errors.Is(err, ErrRefused) {
			// Trying again would be refused again, and hold up what comes after.
			c.Log.Error("Metrics were refused", "error", err)
		} else if err != nil {
			return 0, err
		}
	}
	came := p.Next - p.Offset
	p.Offset, p.Pending = p.Next, nil
	return came, c.state.save(c.State)
}

// read reads the next samples of a file into its place.
func (c *Collect) read(name string, p *place) error {
	file, size, err := reopen(name, p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading metrics: %w", err)
	}
	defer file.Close()
	var samples []observe.Sample
	if c.parser != nil {
		samples, err = c.lines(io.LimitReader(file, size-p.Offset), p)
	} else {
		samples, err = c.records(file, filepath.Dir(name), p)
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	p.number(samples)
	if p.Pending, err = observe.Pack(samples); err != nil {
		return err
	}
	if p.Next == p.Offset {
		p.Pending = nil
	}
	return nil
}

// files are what is to be read.
func (c *Collect) files() ([]string, error) {
	if c.Format != observe.FormatTensorBoard {
		return []string{c.Path}, nil
	}
	var all []string
	err := filepath.WalkDir(c.Path, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && !entry.IsDir() && strings.Contains(entry.Name(), "tfevents") {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for event files: %w", err)
	}
	slices.Sort(all)
	return all, nil
}

func (c *Collect) tell(faults []observe.Fault) {
	for _, f := range faults {
		c.Log.Warn("A metric could not be read", "fault", string(f))
	}
}
