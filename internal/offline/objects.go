// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package offline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "k8s.io/apimachinery/pkg/util/json"
)

// Object is an object of a manifest, and where it stands.
type Object struct {
	*unstructured.Unstructured
	from  Document
	place place
}

// Problem is a problem with a field of the object; with the object as a whole when the path is empty.
func (o Object) Problem(path, message string) Problem {
	return Problem{File: o.from.File, Document: o.from.Number, Line: o.place.line(path), Object: o.String(), Message: message}
}

// String is the object's kind and name.
func (o Object) String() string {
	name := o.GetName()
	if name == "" {
		name = o.GetGenerateName()
	}
	if name == "" {
		return o.GetKind()
	}
	return fmt.Sprintf("%s %q", o.GetKind(), name)
}

// Objects reads the objects of a document: one, or the items of a list.
func (d Document) Objects() ([]Object, []Problem) {
	var objects []Object
	var problems []Problem
	for _, part := range d.jsonValues() {
		content, err := part.content()
		if err != nil {
			problems = append(problems, part.malformed(err)...)
			continue
		}
		o := Object{Unstructured: &unstructured.Unstructured{Object: content}, from: part, place: newPlace(part)}
		found, wrong := o.unfold()
		objects, problems = append(objects, found...), append(problems, wrong...)
	}
	return objects, problems
}

// content decodes a document strictly: a key that is set twice is an error.
func (d Document) content() (map[string]any, error) {
	text, err := toJSON(d.Text)
	if err != nil {
		return nil, err
	}
	var value any
	if err := kjson.Unmarshal(text, &value); err != nil {
		return nil, err
	}
	if d.Complete != nil {
		value = d.Complete(value)
	}
	content, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("expected an object with apiVersion and kind, found %s", describe(value))
	}
	return content, nil
}

func describe(value any) string {
	switch value.(type) {
	case []any:
		return "a list"
	case string:
		return "a string"
	case nil:
		return "nothing"
	default:
		return "a scalar"
	}
}

// unfold returns the items of a list, or else the object alone.
func (o Object) unfold() ([]Object, []Problem) {
	if problem, bad := o.untyped(); bad {
		return nil, []Problem{problem}
	}
	items, isList := o.Object["items"].([]any)
	if !isList || !strings.HasSuffix(o.GetKind(), "List") {
		return []Object{o}, nil
	}
	var objects []Object
	var problems []Problem
	for i, item := range items {
		one := Object{from: o.from, place: o.place.item(i)}
		content, ok := item.(map[string]any)
		if !ok {
			problems = append(problems, o.Problem(fmt.Sprintf("items[%d]", i), fmt.Sprintf("items[%d]: expected an object, found %s", i, describe(item))))
			continue
		}
		one.Unstructured = &unstructured.Unstructured{Object: content}
		found, wrong := one.unfold()
		objects, problems = append(objects, found...), append(problems, wrong...)
	}
	return objects, problems
}

// untyped is the problem of an object without apiVersion or kind.
func (o Object) untyped() (Problem, bool) {
	for _, name := range []string{"apiVersion", "kind"} {
		value, ok := o.Object[name].(string)
		if ok && value != "" {
			continue
		}
		return Problem{
			File: o.from.File, Document: o.from.Number, Line: o.place.line(name),
			Message: name + ": Required value: every object needs apiVersion and kind",
		}, true
	}
	return Problem{}, false
}

var (
	yamlLine   = regexp.MustCompile(`line (\d+): `)
	yamlPrefix = regexp.MustCompile(`^(error converting YAML to JSON: )?(yaml: )?(unmarshal errors:\s*)?`)
)

// malformed words the YAML reader's complaint, one problem for each line of it.
func (d Document) malformed(err error) []Problem {
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return []Problem{d.problem(1+bytes.Count(d.Text[:min(int(syntax.Offset), len(d.Text))], []byte("\n")), err.Error())}
	}
	var problems []Problem
	for text := range strings.Lines(yamlPrefix.ReplaceAllString(err.Error(), "")) {
		line := 1
		if found := yamlLine.FindStringSubmatch(text); found != nil {
			line, _ = strconv.Atoi(found[1])
		}
		text = strings.TrimSpace(yamlLine.ReplaceAllString(text, ""))
		if text != "" {
			if bytes.Contains(d.Text, []byte("{{")) {
				text += " (this is a template: render it first, such as by helm template)"
			}
			problems = append(problems, d.problem(line, text))
		}
	}
	return problems
}

// problem is a problem with the YAML on a line of the document.
func (d Document) problem(line int, message string) Problem {
	lines := bytes.Split(d.Text, []byte("\n"))
	if line <= len(lines) && bytes.Contains(lines[line-1][:indent(lines[line-1])], []byte("\t")) {
		message += " (the line is indented with a tab: YAML wants spaces)"
	}
	return Problem{File: d.File, Document: d.Number, Line: d.Line - 1 + line, Message: "malformed YAML: " + message}
}

func indent(line []byte) int { return len(line) - len(bytes.TrimLeft(line, " \t")) }

// Blame is a problem whose message names the field it is about at its head, before a colon or a blank.
func (o Object) Blame(message string) Problem {
	return o.Problem(head(message, o.place), message)
}
