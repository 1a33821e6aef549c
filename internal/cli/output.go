// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/internal/engine"
)

// format is how a result is written.
type format string

const (
	asTable format = "table"
	asYAML  format = "yaml"
	asJSON  format = "json"
)

var formats = []string{string(asTable), string(asYAML), string(asJSON)}

func (f *format) String() string { return string(*f) }

func (f *format) Type() string { return strings.Join(formats, "|") }

func (f *format) Set(value string) error {
	if !slices.Contains(formats, value) {
		return fmt.Errorf("must be one of %s", strings.Join(formats, ", "))
	}
	*f = format(value)
	return nil
}

// addFormat adds the -o flag.
func addFormat(c *cobra.Command, f *format) {
	c.Flags().VarP(f, "output", "o", "output format")
	complete(c, "output", formats...)
}

// writeObjects writes objects as YAML documents, or as one JSON list.
func writeObjects(w io.Writer, f format, objects []runtime.Object) error {
	if f == asJSON {
		return writeList(w, f, objects)
	}
	for i, o := range objects {
		if i > 0 {
			fmt.Fprintln(w, "---")
		}
		if err := writeObject(w, f, o); err != nil {
			return err
		}
	}
	return nil
}

// writeList writes objects as one list, however many there are, as kubectl does.
func writeList(w io.Writer, f format, objects []runtime.Object) error {
	contents := make([]any, len(objects))
	for i, o := range objects {
		content, err := contentOf(o)
		if err != nil {
			return err
		}
		contents[i] = content
	}
	return writeDocument(w, f, map[string]any{"apiVersion": "v1", "kind": "List", "items": contents})
}

func writeObject(w io.Writer, f format, o runtime.Object) error {
	content, err := contentOf(o)
	if err != nil {
		return err
	}
	return writeDocument(w, f, content)
}

// writeDocument writes anything as one document.
func writeDocument(w io.Writer, f format, content any) error {
	text, err := yaml.Marshal(content)
	if f == asJSON {
		text, err = json.MarshalIndent(content, "", "  ")
		text = append(text, '\n')
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", f, err)
	}
	_, err = w.Write(text)
	return err
}

// contentOf is an object without what only a server or an encoder puts there.
func contentOf(o runtime.Object) (map[string]any, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, fmt.Errorf("writing %T: %w", o, err)
	}
	if meta, ok := content["metadata"].(map[string]any); ok {
		delete(meta, "managedFields")
		if meta["creationTimestamp"] == nil {
			delete(meta, "creationTimestamp")
		}
	}
	return content, nil
}

// intent is the content of a planned object: without status, and without an owner that does not exist yet.
func intent(o engine.Object) (map[string]any, error) {
	refs := slices.DeleteFunc(slices.Clone(o.GetOwnerReferences()), func(r ownerReference) bool { return r.UID == "" })
	o.SetOwnerReferences(refs)
	content, err := contentOf(o)
	if err != nil {
		return nil, err
	}
	delete(content, "status")
	dropEmpty(content, "resources")
	return content, nil
}

// dropEmpty removes empty maps of a name at any depth. An encoder writes some that say nothing; others, such as
// emptyDir, say everything by being there.
func dropEmpty(value any, name string) {
	switch v := value.(type) {
	case map[string]any:
		if m, ok := v[name].(map[string]any); ok && len(m) == 0 {
			delete(v, name)
		}
		for _, child := range v {
			dropEmpty(child, name)
		}
	case []any:
		for _, child := range v {
			dropEmpty(child, name)
		}
	}
}

// table is rows of cells under a header, in aligned columns.
type table struct {
	header []string
	rows   [][]string
	// paint colours a cell after it was aligned; nil leaves it as it is.
	paint func(column, cell string) string
}

func (t *table) add(cells ...string) {
	for i, cell := range cells {
		cells[i] = printable(cell)
	}
	t.rows = append(t.rows, cells)
}

// printable is a text from the cluster without what would command a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// write writes the table; without a header when it has none. Lines begin with the indent.
func (t *table) write(w io.Writer, indent string) {
	lines := t.rows
	if t.header != nil {
		header := slices.Clone(t.header)
		for i, name := range header {
			header[i] = printable(name)
		}
		lines = append([][]string{header}, t.rows...)
	}
	widths := columnWidths(lines)
	for i, cells := range lines {
		var line strings.Builder
		line.WriteString(indent)
		for column, cell := range cells {
			pad := widths[column] - utf8.RuneCountInString(cell) + 3
			if t.paint != nil && t.header != nil && i > 0 {
				cell = t.paint(t.header[column], cell)
			}
			line.WriteString(cell)
			if column < len(cells)-1 {
				line.WriteString(strings.Repeat(" ", pad))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

func columnWidths(lines [][]string) []int {
	var widths []int
	for _, cells := range lines {
		for column, cell := range cells {
			if column == len(widths) {
				widths = append(widths, 0)
			}
			widths[column] = max(widths[column], utf8.RuneCountInString(cell))
		}
	}
	return widths
}
