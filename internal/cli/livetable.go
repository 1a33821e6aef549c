// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// liveTable writes rows one at a time, so it cannot know the widest: columns begin wide and grow.
type liveTable struct {
	table  *table
	widths []int
	// last is what was written of each object, but for the columns that time alone changes.
	last map[client.ObjectKey]string
}

// columnWidth is enough for most names.
const columnWidth = 12

// aging are the columns that change without a change of the object.
var aging = []string{"AGE", "LAST ACTIVITY"}

func (t *liveTable) write(w io.Writer, key client.ObjectKey, row []string) {
	var lasting []string
	for i, name := range t.table.header {
		if !slices.Contains(aging, name) {
			lasting = append(lasting, row[i])
		}
	}
	same := strings.Join(lasting, " ")
	if t.last[key] == same {
		return
	}
	t.last[key] = same
	if t.widths == nil {
		for _, name := range t.table.header {
			t.widths = append(t.widths, max(columnWidth, len(name)+2))
		}
		t.line(w, t.table.header, nil)
	}
	t.line(w, row, t.table.paint)
}

func (t *liveTable) line(w io.Writer, cells []string, paint func(column, cell string) string) {
	var line strings.Builder
	for column, cell := range cells {
		width := utf8.RuneCountInString(cell)
		t.widths[column] = max(t.widths[column], width+2)
		pad := t.widths[column] - width
		if paint != nil {
			cell = paint(t.table.header[column], cell)
		}
		line.WriteString(cell + strings.Repeat(" ", pad))
	}
	fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
}
