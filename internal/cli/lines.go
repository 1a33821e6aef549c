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
	out        io.Writer
	timestamps bool
	width      int
	colours    map[string]int
}

func (p *linePrinter) print(l line) {
	p.mu.Lock()
	defer p.mu.Unlock()
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

// scan calls each for every line, however long.
func scan(r io.Reader, each func(string)) error {
	in := bufio.NewReader(r)
	for {
		text, err := in.ReadString('\n')
		if text != "" {
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
