// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// line is one line of one replica's log.
type line struct {
	at                   time.Time
	stamp, replica, text string
}

// linePrinter writes lines of several replicas, each whole, with the replica in front.
type linePrinter struct {
	painter
	mu         sync.Mutex
	out, err   io.Writer
	timestamps bool
	width      int
	colours    map[string]int
	// progress tells what the job is doing until the first line of a log does; nil from then on.
	progress *progressLine
}

// show tells where the job is, as long as there is no line to print.
func (p *linePrinter) show(progress progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.progress != nil {
		p.progress.show(progress)
	}
}

// say writes a line that is not of a log.
func (p *linePrinter) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.progress != nil {
		p.progress.end()
	}
	fmt.Fprintf(p.err, format+"\n", args...)
}

func (p *linePrinter) print(l line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.progress != nil {
		p.progress.end()
		p.progress = nil
	}
	prefix := p.paint(p.colour(l.replica), fmt.Sprintf("%-*s |", p.width, l.replica))
	if p.timestamps {
		prefix += " " + l.stamp
	}
	// A progress bar writes over itself; its last state is what a line can show.
	fmt.Fprintf(p.out, "%s %s\n", prefix, l.text[strings.LastIndexByte(l.text, '\r')+1:])
}

// colour is the replica's own for as long as the program runs.
func (p *linePrinter) colour(replica string) int {
	if _, known := p.colours[replica]; !known {
		p.colours[replica] = replicaColours[len(p.colours)%len(replicaColours)]
	}
	return p.colours[replica]
}

// scan calls each for every line, however long; for the last one only if it ends, or the end is that of everything.
func scan(r io.Reader, whole bool, each func(string)) error {
	in := bufio.NewReader(r)
	for {
		text, err := in.ReadString('\n')
		if err == nil || text != "" && whole && errors.Is(err, io.EOF) {
			each(strings.TrimRight(text, "\r\n"))
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
