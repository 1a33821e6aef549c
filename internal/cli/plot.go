// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/study"
	"github.com/millrace-ml/millrace/internal/trialjob"
)

// bestSoFar is the best value of the first objective after each trial that has one, in the order of their ends.
func bestSoFar(s searched) []float64 {
	o := s.Spec.Objectives[0]
	order, _ := study.Order(s.records)
	var curve []float64
	for _, proposal := range order {
		i := slices.IndexFunc(s.records, func(r study.Record) bool { return r.Proposal == proposal })
		v := trialjob.Real(metricOf(s.records[i], o.Metric))
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		if n := len(curve); n > 0 && (curve[n-1] < v) == (o.Direction == v1alpha1.Minimize) {
			v = curve[n-1]
		}
		curve = append(curve, v)
	}
	return curve
}

// Size of the plot on a terminal.
const (
	plotWidth  = 60
	plotHeight = 8
)

// sparkline draws a curve with characters; empty when there is nothing to draw.
func sparkline(curve []float64) string {
	if len(curve) < 2 {
		return ""
	}
	lo, hi := slices.Min(curve), slices.Max(curve)
	rows := make([][]byte, plotHeight)
	for i := range rows {
		rows[i] = []byte(strings.Repeat(" ", plotWidth))
	}
	for x := range plotWidth {
		v := curve[x*(len(curve)-1)/(plotWidth-1)]
		rows[plotHeight-1-int(share(v, lo, hi)*(plotHeight-1)+0.5)][x] = '*'
	}
	var out strings.Builder
	for i, row := range rows {
		label := ""
		switch i {
		case 0:
			label = fmt.Sprintf("%.4g", hi)
		case plotHeight - 1:
			label = fmt.Sprintf("%.4g", lo)
		}
		fmt.Fprintf(&out, "%10s |%s\n", label, strings.TrimRight(string(row), " "))
	}
	return out.String()
}

// share is where a value is between two others, from 0 to 1.
func share(v, lo, hi float64) float64 {
	if hi <= lo {
		return 0
	}
	return (v - lo) / (hi - lo)
}

// Sizes of the drawing.
const (
	width, height = 900.0, 320.0
	margin        = 60.0
)

func writeSVG(w io.Writer, s searched) error {
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="12">`+"\n", width, 2*height)
	fmt.Fprintln(w, `<rect width="100%" height="100%" fill="white"/>`)
	drawCurve(w, s)
	drawCoordinates(w, s)
	_, err := fmt.Fprintln(w, "</svg>")
	return err
}

// drawCurve draws the best value so far.
func drawCurve(w io.Writer, s searched) {
	curve := bestSoFar(s)
	fmt.Fprintf(w, `<text x="%g" y="24">%s, best so far (%s)</text>`+"\n", margin, html.EscapeString(s.Spec.Objectives[0].Metric), html.EscapeString(s.Name))
	if len(curve) == 0 {
		return
	}
	lo, hi := slices.Min(curve), slices.Max(curve)
	var line strings.Builder
	for i, v := range curve {
		x := margin + (width-2*margin)*share(float64(i), 0, float64(max(len(curve)-1, 1)))
		y := height - margin - (height-2*margin)*share(v, lo, hi)
		if i > 0 {
			fmt.Fprintf(&line, "H%.1f ", x)
		}
		fmt.Fprintf(&line, "%s%.1f,%.1f ", map[bool]string{true: "M", false: "L"}[i == 0], x, y)
	}
	fmt.Fprintf(w, `<path d="%s" fill="none" stroke="#1f77b4" stroke-width="2"/>`+"\n", line.String())
	fmt.Fprintf(w, `<text x="4" y="%g">%.4g</text><text x="4" y="%g">%.4g</text><text x="%g" y="%g">%d trials</text>`+"\n",
		margin+4, hi, height-margin+4, lo, width-2*margin, height-margin/2, len(curve))
}

// axis is one of the parallel coordinates.
type axis struct {
	name string
	// place is where a trial is on it, from 0 to 1; false when it has no value there.
	place  func(study.Record) (float64, bool)
	lo, hi string
}

// drawCoordinates draws each trial with a value as a line over the axes of its parameters and its objective; the better it is, the darker.
func drawCoordinates(w io.Writer, s searched) {
	axes := axesOf(s)
	if len(axes) == 0 {
		return
	}
	at := func(i int) float64 {
		return margin + (width-2*margin)*share(float64(i), 0, float64(max(len(axes)-1, 1)))
	}
	goal := axes[len(axes)-1]
	for _, r := range s.records {
		var line strings.Builder
		for i, a := range axes {
			if v, ok := a.place(r); ok {
				fmt.Fprintf(&line, "%.1f,%.1f ", at(i), 2*height-margin-(height-2*margin)*v)
			}
		}
		value, measured := goal.place(r)
		if !measured {
			continue
		}
		if s.Spec.Objectives[0].Direction == v1alpha1.Minimize {
			value = 1 - value
		}
		fmt.Fprintf(w, `<polyline points="%s" fill="none" stroke="#d62728" stroke-opacity="%.2f"><title>%s</title></polyline>`+"\n",
			line.String(), 0.1+0.9*value*value, html.EscapeString(r.Name))
	}
	for i, a := range axes {
		x := at(i)
		fmt.Fprintf(w, `<line x1="%[1]g" x2="%[1]g" y1="%[2]g" y2="%[3]g" stroke="black"/><text x="%[1]g" y="%[4]g" text-anchor="middle">%[5]s</text>`+
			`<text x="%[1]g" y="%[6]g" text-anchor="middle">%[7]s</text><text x="%[1]g" y="%[8]g" text-anchor="middle">%[9]s</text>`+"\n",
			x, height+margin, 2*height-margin, 2*height-margin+32, html.EscapeString(a.name), 2*height-margin+16, html.EscapeString(a.lo), height+margin-6, html.EscapeString(a.hi))
	}
}

func axesOf(s searched) []axis {
	var axes []axis
	for _, p := range s.Spec.Parameters {
		axes = append(axes, parameterAxis(p))
	}
	metric := s.Spec.Objectives[0].Metric
	var values []float64
	for _, r := range s.records {
		if v := trialjob.Real(metricOf(r, metric)); !math.IsNaN(v) && !math.IsInf(v, 0) {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return nil
	}
	lo, hi := slices.Min(values), slices.Max(values)
	return append(axes, axis{name: metric, lo: fmt.Sprintf("%.4g", lo), hi: fmt.Sprintf("%.4g", hi), place: func(r study.Record) (float64, bool) {
		v := trialjob.Real(metricOf(r, metric))
		return share(v, lo, hi), !math.IsNaN(v) && !math.IsInf(v, 0)
	}})
}

// parameterAxis has numbers on their own scale, and words in their order.
func parameterAxis(p v1alpha1.Parameter) axis {
	if len(p.Values) > 0 {
		return axis{name: p.Name, lo: p.Values[0], hi: p.Values[len(p.Values)-1], place: func(r study.Record) (float64, bool) {
			i := slices.Index(p.Values, r.Assignment[p.Name])
			return share(float64(i), 0, float64(len(p.Values)-1)), i >= 0
		}}
	}
	scale := func(v float64) float64 { return v }
	if p.Distribution == v1alpha1.LogUniform || p.Distribution == v1alpha1.LogNormal {
		scale = math.Log
	}
	lo, hi := scale(trialjob.Real(p.Min)), scale(trialjob.Real(p.Max))
	return axis{name: p.Name, lo: p.Min, hi: p.Max, place: func(r study.Record) (float64, bool) {
		v, err := strconv.ParseFloat(r.Assignment[p.Name], 64)
		return share(scale(v), lo, hi), err == nil
	}}
}

// writeHTML writes the drawing and a table as one page, which needs nothing else.
func writeHTML(w io.Writer, s searched) error {
	name := html.EscapeString(s.Name)
	fmt.Fprintf(w, "<!doctype html>\n<meta charset=\"utf-8\"><title>%s</title>\n<h1>%s</h1>\n<p>%s</p>\n", name, name, html.EscapeString(bestOf(s.Experiment)))
	if err := writeSVG(w, s); err != nil {
		return err
	}
	fmt.Fprintf(w, "<table border=\"1\" cellpadding=\"4\">\n<tr><th>trial</th><th>phase</th><th>%s</th><th>parameters</th></tr>\n",
		html.EscapeString(s.Spec.Objectives[0].Metric))
	for _, r := range s.records {
		fmt.Fprintf(w, "<tr><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>\n", html.EscapeString(r.Name), r.Phase,
			html.EscapeString(metricOf(r, s.Spec.Objectives[0].Metric)), html.EscapeString(assigned(r.Assignment)))
	}
	_, err := fmt.Fprintln(w, "</table>")
	return err
}
