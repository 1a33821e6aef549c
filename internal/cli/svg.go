// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"cmp"
	"fmt"
	"html"
	"io"
	"strings"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// styles are rules for what is written in inks, for a light and a dark ground.
func styles() string {
	rules := func(dark bool) string {
		var out strings.Builder
		for i, one := range inks {
			colour := one.light
			if dark {
				colour = one.dark
			}
			fill, stroke := colour, "none"
			if ink(i) != inkGround && ink(i) != inkText {
				fill, stroke = "none", colour
			}
			fmt.Fprintf(&out, ".%s{fill:%s;stroke:%s}", one.name, fill, stroke)
			if ink(i) == inkText {
				ground := map[bool]string{false: inks[inkGround].light, true: inks[inkGround].dark}[dark]
				fmt.Fprintf(&out, ".%s{stroke:%s;stroke-width:3px;paint-order:stroke}", one.name, ground)
			}
		}
		return out.String()
	}
	return "path{stroke-linecap:round;stroke-linejoin:round}path.trial:hover{stroke-opacity:1;stroke-width:3px}" +
		rules(false) + "@media(prefers-color-scheme:dark){" + rules(true) + "}"
}

// markup is a text from the cluster as it stands in XML and HTML.
func markup(text string) string { return html.EscapeString(printable(text)) }

func writeSVG(w io.Writer, s searched) error {
	out, d := bufio.NewWriter(w), drawingOf(s)
	fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g" font-family="system-ui,sans-serif"><style>%s</style>`+"\n",
		d.width, d.height, d.width, d.height, styles())
	fmt.Fprintln(out, `<rect class="ground" width="100%" height="100%"/>`)
	for _, m := range d.marks {
		writeMark(out, m)
	}
	fmt.Fprintln(out, "</svg>")
	return out.Flush()
}

func writeMark(w io.Writer, m mark) {
	if m.text != "" {
		anchor := map[float64]string{0: "start", 0.5: "middle", 1: "end"}[m.anchor]
		fmt.Fprintf(w, `<text class="text" x="%.1f" y="%.1f" font-size="%g" text-anchor="%s">%s</text>`+"\n", m.at.x, m.at.y, m.size, anchor, markup(m.text))
		return
	}
	var path strings.Builder
	for _, line := range m.lines {
		for i, p := range line {
			fmt.Fprintf(&path, "%s%.1f,%.1f", map[bool]string{true: "M", false: "L"}[i == 0], p.x, p.y)
		}
		if len(line) == 1 {
			path.WriteString("h0") // with round ends it is a dot
		}
	}
	if path.Len() == 0 {
		return
	}
	fmt.Fprintf(w, `<path class="%s" d="%s" stroke-width="%g" stroke-opacity="%.2f">`, inks[m.ink].name, path.String(), m.width, m.opacity)
	if m.title != "" {
		fmt.Fprintf(w, "<title>%s</title>", markup(m.title))
	}
	fmt.Fprintln(w, "</path>")
}

// pageStyle is the page around the drawing.
const pageStyle = `:root{color-scheme:light dark}body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1200px;padding:0 1rem}
p{margin:.2rem 0}.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;width:100%}
th,td{text-align:left;padding:.25rem .75rem;border-bottom:1px solid #8884;vertical-align:top}th{position:sticky;top:0;background:Canvas}`

// writeHTML writes the drawing and a table of all trials as one page, which needs nothing else.
func writeHTML(w io.Writer, s searched) error {
	out, name := bufio.NewWriter(w), markup(s.Name)
	fmt.Fprintf(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">"+
		"<title>%s</title><style>%s</style></head><body>\n<h1>%s</h1>\n", name, pageStyle, name)
	for _, line := range headlines(s) {
		fmt.Fprintf(out, "<p>%s</p>\n", markup(line))
	}
	fmt.Fprintln(out, `<div class="wide">`)
	if err := writeSVG(out, s); err != nil {
		return err
	}
	header := []string{"trial", "phase"}
	for _, o := range s.Spec.Objectives {
		header = append(header, o.Metric)
	}
	for _, p := range s.Spec.Parameters {
		header = append(header, p.Name)
	}
	fmt.Fprint(out, "</div>\n<div class=\"wide\"><table>\n<thead><tr>")
	for _, cell := range header {
		fmt.Fprintf(out, "<th>%s</th>", markup(cell))
	}
	fmt.Fprintln(out, "</tr></thead><tbody>")
	for _, r := range s.records {
		row := []string{r.Name, cmp.Or(r.Phase, v1alpha1.PhasePending)}
		for _, o := range s.Spec.Objectives {
			row = append(row, metricOf(r, o.Metric))
		}
		for _, p := range s.Spec.Parameters {
			row = append(row, r.Assignment[p.Name])
		}
		fmt.Fprint(out, "<tr>")
		for _, cell := range row {
			fmt.Fprintf(out, "<td>%s</td>", markup(cell))
		}
		fmt.Fprintln(out, "</tr>")
	}
	fmt.Fprintln(out, "</tbody></table></div></body></html>")
	return out.Flush()
}
