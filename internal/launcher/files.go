// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package launcher

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/millrace-ml/millrace/internal/observe"
)

// maxLine is the longest line that is read, in bytes; a longer one is passed over.
const maxLine = 1 << 20

// place is how far a file was read.
type place struct {
	// Offset is behind what was pushed, Next behind what is in Pending, which are samples in their packed form.
	Offset, Next int64
	Pending      json.RawMessage `json:",omitempty"`
	// Broken is true of a file that cannot be read any further.
	Broken bool `json:",omitempty"`
	// Count is how many samples were read: it numbers them, so that each has an identity of its own.
	Count int64
}

// number gives samples their place in the file. A file that is read again gives each the number it had.
func (p *place) number(samples []observe.Sample) {
	for i := range samples {
		samples[i].Seq = p.Count
		p.Count++
	}
}

// state is how far files were read.
type state struct{ Files map[string]*place }

func (s *state) load(path string) error {
	s.Files = map[string]*place{}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading how far files were read: %w", err)
	}
	if err := json.Unmarshal(text, s); err != nil {
		return fmt.Errorf("reading how far files were read: %w", err)
	}
	return nil
}

// save replaces the file in one step, so that it is never half written.
func (s *state) save(path string) error {
	text, err := json.Marshal(s)
	if err == nil {
		err = os.WriteFile(path+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("keeping how far files were read: %w", err)
	}
	return nil
}

func (s *state) of(file string) *place {
	if s.Files[file] == nil {
		s.Files[file] = &place{}
	}
	return s.Files[file]
}

// reopen opens a file where it was left, and returns its size. One that became shorter was begun anew, and so is its reading.
func reopen(name string, p *place) (*os.File, int64, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() < p.Offset {
		p.Offset = 0
	}
	p.Next = p.Offset
	if err == nil {
		_, err = file.Seek(p.Offset, io.SeekStart)
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

// lines reads whole lines: what has no end yet is read when it has.
func (c *Collect) lines(from io.Reader, p *place) ([]observe.Sample, error) {
	var samples []observe.Sample
	for reader := bufio.NewReaderSize(from, maxLine); len(samples) < batch; {
		line, err := reader.ReadSlice('\n')
		if errors.Is(err, io.EOF) && (!c.over || len(line) == 0) {
			return samples, nil
		}
		p.Next += int64(len(line))
		if errors.Is(err, bufio.ErrBufferFull) {
			c.tell([]observe.Fault{"a line is longer than can be read"})
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		found, faults := c.parser.Line(bytes.TrimRight(line, "\r\n"), c.Now())
		c.tell(faults)
		samples = append(samples, found...)
	}
	return samples, nil
}

// records reads whole records of an event file.
func (c *Collect) records(from io.Reader, directory string, p *place) ([]observe.Sample, error) {
	var samples []observe.Sample
	if p.Broken {
		return nil, nil
	}
	for reader := bufio.NewReader(from); len(samples) < batch; {
		event, size, err := observe.Record(reader)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return samples, nil
		}
		if errors.Is(err, observe.ErrCorrupt) {
			p.Broken = true
			c.tell([]observe.Fault{observe.Fault(err.Error())})
			return samples, nil
		}
		if err != nil {
			return nil, err
		}
		p.Next += size
		found, faults := c.events.Event(event, directory)
		c.tell(faults)
		samples = append(samples, found...)
	}
	return samples, nil
}
