// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/study"
)

// drawing is lines and texts, which SVG and PNG show alike. Unit: pixels of a screen.
type drawing struct {
	width, height float64
	marks         []mark
}

// mark is lines, or a text. A line of one point is a dot.
type mark struct {
	ink            ink
	lines          [][]point
	width, opacity float64
	text           string
	at             point
	size           float64
	// anchor is how much of the text is left of its place, from 0 to 1.
	anchor float64
	// title is shown when a mouse points at it.
	title string
}

type point struct{ x, y float64 }

// ink is the colour of what a mark stands for.
type ink int

const (
	inkGround ink = iota
	inkText
	inkGrid
	inkAxis
	inkTrial
	inkBest
	inkFailed
)

// inks are the names of the colours, and what they are on light and dark grounds.
var inks = [...]struct{ name, light, dark string }{
	inkGround: {"ground", "#ffffff", "#121212"},
	inkText:   {"text", "#1f2328", "#d8dee4"},
	inkGrid:   {"grid", "#e4e7eb", "#2b3138"},
	inkAxis:   {"axis", "#8a939d", "#6b7580"},
	inkTrial:  {"trial", "#2a6fb0", "#6cb0f0"},
	inkBest:   {"best", "#d1495b", "#ff8a75"},
	inkFailed: {"failed", "#a0a0a0", "#767f88"},
}

// Sizes of a drawing.
const (
	leastWidth  = 900
	marginLeft  = 76
	marginRight = 90
	curveHeight = 200
	axisHeight  = 330
	axisSpacing = 112
	headRoom    = 34
	footRoom    = 40
	titleSize   = 14
	textSize    = 11
)

// mostLines is how many trials the coordinates show: with more of them nothing can be told apart.
const mostLines = 500

func (d *drawing) line(of ink, width, opacity float64, title string, lines ...[]point) {
	d.marks = append(d.marks, mark{ink: of, width: width, opacity: opacity, title: title, lines: lines})
}

func (d *drawing) label(at point, size, anchor float64, text string) {
	d.marks = append(d.marks, mark{ink: inkText, at: at, size: size, anchor: anchor, text: text, opacity: 1})
}

// drawingOf draws the best values so far of all objectives, and the trials as lines over their parameters and objectives.
func drawingOf(s searched) drawing {
	axes := axesOf(s)
	d := drawing{width: max(leastWidth, marginLeft+marginRight+axisSpacing*float64(len(axes)-1))}
	for _, o := range s.Spec.Objectives {
		d.curve(seriesOf(s, o))
	}
	d.coordinates(s, axes)
	return d
}

// panel makes room below what there is, under a title.
func (d *drawing) panel(height float64, title string) (top, bottom float64) {
	top = d.height + headRoom
	d.label(point{marginLeft, top - 14}, titleSize, 0, title)
	d.height = top + height + footRoom
	return top, top + height
}

// curve draws an objective over the trials in the order of their ends.
func (d *drawing) curve(of series) {
	top, bottom := d.panel(curveHeight, fmt.Sprintf("%s, best so far (%s)", of.Metric, of.Direction))
	left, right := float64(marginLeft), d.width-marginRight
	fits, known := scaleFor(of.Objective, of.values)
	if !known {
		d.label(point{left, top + curveHeight/2}, textSize, 0, "No trial has a value yet.")
		return
	}
	y := func(v float64) float64 { return bottom - 8 - (curveHeight-16)*fits.at(v) }
	for _, v := range fits.ticks() {
		d.line(inkGrid, 1, 1, "", []point{{left, y(v)}, {right, y(v)}})
		d.label(point{left - 8, y(v) + 4}, textSize, 1, figure(v))
	}
	d.line(inkAxis, 1, 1, "", []point{{left, bottom}, {right, bottom}})
	across := scale{lo: 0, hi: float64(len(of.values) - 1)}
	var dots, failed [][]point
	var best []point
	for i, v := range of.values {
		x := left + 6 + (right-left-12)*across.at(float64(i))
		if math.IsNaN(v) {
			failed = append(failed, []point{{x - 3, bottom - 3}, {x + 3, bottom + 3}}, []point{{x - 3, bottom + 3}, {x + 3, bottom - 3}})
		} else {
			dots = append(dots, []point{{x, y(v)}})
		}
		if b := of.best[i]; !math.IsNaN(b) {
			if n := len(best); n > 0 {
				best = append(best, point{x, best[n-1].y})
			}
			best = append(best, point{x, y(b)})
		}
	}
	d.line(inkFailed, 1.5, 0.8, "", failed...)
	d.line(inkTrial, 4.5, min(0.8, max(0.15, 60/float64(len(dots)))), "", dots...)
	d.line(inkBest, 2, 1, "", best)
	d.label(point{left, bottom + 18}, textSize, 0, caption(of, fits))
	last := best[len(best)-1]
	d.label(point{last.x + 6, last.y + 4}, textSize, 0, figure(of.best[len(of.best)-1]))
}

// caption says how many trials a curve has.
func caption(of series, fits scale) string {
	none := 0
	for _, v := range of.values {
		if math.IsNaN(v) {
			none++
		}
	}
	text := plural(len(of.values), "ended trial") + ", in the order of their ends"
	if none > 0 {
		text += fmt.Sprintf("; × %d without a value", none)
	}
	if far := fits.outside(of.values); far > 0 {
		text += fmt.Sprintf("; %d far out, at the edge", far)
	}
	return text
}

// coordinates draws each trial as a line over the axes; the better it is, the stronger.
func (d *drawing) coordinates(s searched, axes []axis) {
	if len(axes) == 0 || len(s.records) == 0 {
		return
	}
	shown, failed := ranked(s)
	title := "the trials"
	if len(shown) > mostLines {
		title = fmt.Sprintf("the %d best of %d trials", mostLines, len(shown))
		shown = shown[len(shown)-mostLines:]
	}
	title = "Parameters and objectives of " + title + ": the stronger the line, the better"
	if len(failed) > 0 {
		title += "; grey without a value"
	}
	_, bottom := d.panel(axisHeight, title)
	at := func(i int, v float64) point {
		return point{marginLeft + (d.width-marginLeft-marginRight)*scale{hi: float64(len(axes) - 1)}.at(float64(i)), bottom - axisHeight*v}
	}
	through := func(r study.Record) (line []point) {
		for i, a := range axes {
			if v, ok := a.place(r); ok {
				line = append(line, at(i, v))
			}
		}
		return line
	}
	for _, r := range failed[max(0, len(failed)-mostLines/4):] {
		d.line(inkFailed, 1, 0.35, r.Name+": "+cmp.Or(r.Phase, v1alpha1.PhasePending)+"\n"+assigned(r.Assignment), through(r))
	}
	front := winners(s)
	for i, r := range shown {
		of, width := inkTrial, 1.2
		strength := float64(i+1) / float64(len(shown))
		opacity := min(1, 12/float64(len(shown))+0.75*strength*strength*strength)
		if slices.Contains(front, r.Name) {
			of, width, opacity = inkBest, 2.4, 1
		}
		d.line(of, width, opacity, r.Name+"\n"+measured(s, r)+"\n"+assigned(r.Assignment), through(r))
	}
	for i, a := range axes {
		d.line(inkAxis, 1.2, 1, "", []point{at(i, 0), at(i, 1)})
		for _, t := range a.ticks {
			p := at(i, t.at)
			d.line(inkAxis, 1.2, 1, "", []point{p, {p.x + 4, p.y}})
			d.label(point{p.x + 7, p.y + 4}, textSize, 0, t.label)
		}
		d.label(point{at(i, 0).x, bottom + 24}, textSize+1, 0.5, cut(a.name, 17))
	}
}

// ranked are the trials with a value of the first objective, the best last, and those that ended without.
func ranked(s searched) (shown, failed []study.Record) {
	o := s.Spec.Objectives[0]
	for _, r := range s.records {
		if !math.IsNaN(valueOf(r, o.Metric)) {
			shown = append(shown, r)
		} else if r.Over() {
			failed = append(failed, r)
		}
	}
	sign := map[bool]int{true: -1, false: 1}[o.Direction == v1alpha1.Minimize]
	slices.SortStableFunc(shown, func(a, b study.Record) int { return sign * cmp.Compare(valueOf(a, o.Metric), valueOf(b, o.Metric)) })
	return shown, failed
}

// winners are the trials that no other beats.
func winners(s searched) []string {
	var found []string
	for _, b := range s.Status.Pareto {
		found = append(found, b.Trial)
	}
	if len(found) == 0 && s.Status.Best != nil {
		found = append(found, s.Status.Best.Trial)
	}
	return found
}

// measured are the objectives of a trial.
func measured(s searched, r study.Record) string {
	var said []string
	for _, o := range s.Spec.Objectives {
		said = append(said, o.Metric+"="+cmp.Or(metricOf(r, o.Metric), nothing))
	}
	return strings.Join(said, " ")
}
