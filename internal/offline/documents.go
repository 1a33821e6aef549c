// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package offline answers as an API server would that serves the kinds of Millrace and nothing else: it reads
// manifests, refuses what the server would refuse and in the same words, and fills in the same defaults. It needs the
// CustomResourceDefinitions and no cluster.
//
//	bytes -> Split -> Document -> Objects -> Object -> Schemas.Admit -> object as the server would store it
//
// Whatever is wrong is a Problem with a file and a line, and never keeps the next document from being read.
package offline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Document is one YAML or JSON document of a file.
type Document struct {
	// File is the file's name as the user gave it.
	File string
	// Number counts the documents of the file from 1; empty ones do not count.
	Number int
	// Line is the line of the file the document begins on, from 1.
	Line int
	// Text is the document.
	Text []byte
	// Complete, where it is set, gives what it knows a kind; every other document must name its own.
	Complete func(content any) any
}

// Problem is what is wrong with a manifest, and where.
type Problem struct {
	File string
	// Document and Line count from 1; 0 means unknown.
	Document, Line int
	// Object is the kind and name of the object, where they are known.
	Object string
	// Message says what is wrong.
	Message string
}

func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Document > 0 {
		fmt.Fprintf(&b, ": document %d", p.Document)
	}
	if p.Object != "" {
		fmt.Fprintf(&b, ": %s", p.Object)
	}
	return b.String() + ": " + p.Message
}

// Split cuts a file into its documents. Empty documents, and those of comments only, are left out.
func Split(file string, text []byte) []Document {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	var found []Document
	add := func(part []byte, line int) {
		for len(part) > 0 {
			first, rest, _ := bytes.Cut(part, []byte("\n"))
			if !blank(first) {
				break
			}
			part, line = rest, line+1
		}
		if len(part) == 0 {
			return
		}
		found = append(found, Document{File: file, Number: len(found) + 1, Line: line, Text: part})
	}
	begin, beginLine, line := 0, 1, 1
	for at := 0; at < len(text); line++ {
		next := len(text)
		if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
			next = at + i + 1
		}
		if separator(text[at:next]) {
			add(text[begin:at], beginLine)
			begin, beginLine = at+len("---"), line
		}
		at = next
	}
	add(text[begin:], beginLine)
	return found
}

// separator is true of a line that divides documents; what follows the dashes belongs to the next one.
func separator(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || bytes.ContainsRune([]byte(" \t\r\n"), rune(rest[0])))
}

// blank is true of a line that holds nothing, or a comment only.
func blank(line []byte) bool {
	line = bytes.TrimSpace(line)
	return len(line) == 0 || line[0] == '#'
}

// jsonValues cuts a document of several JSON values into one document each; any other document comes back alone.
func (d Document) jsonValues() []Document {
	if !bytes.HasPrefix(bytes.TrimSpace(d.Text), []byte("{")) {
		return []Document{d}
	}
	var found []Document
	decoder := json.NewDecoder(bytes.NewReader(d.Text))
	for begin := int64(0); ; begin = decoder.InputOffset() {
		var value json.RawMessage
		err := decoder.Decode(&value)
		if err == io.EOF {
			return found
		}
		if err != nil {
			return []Document{d} // flow-style YAML, or broken: the YAML reader knows
		}
		part := d
		part.Text = d.Text[begin:decoder.InputOffset()]
		part.Line = d.Line + bytes.Count(d.Text[:begin], []byte("\n"))
		found = append(found, part)
	}
}
