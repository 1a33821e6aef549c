// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// dense is how many pixels of a picture are one of a screen.
const dense = 2

// canvas is a picture in the making.
type canvas struct {
	*image.RGBA
	font  *opentype.Font
	faces map[float64]font.Face
}

func writePNG(w io.Writer, s searched) error {
	parsed, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return fmt.Errorf("reading the font: %w", err)
	}
	d := drawingOf(s)
	c := canvas{image.NewRGBA(image.Rect(0, 0, int(d.width*dense), int(d.height*dense))), parsed, map[float64]font.Face{}}
	draw.Draw(c, c.Bounds(), image.NewUniform(colourOf(inkGround)), image.Point{}, draw.Src)
	for _, m := range d.marks {
		for _, line := range m.lines {
			for i := range max(len(line)-1, 1) {
				c.stroke(line[i], line[min(i+1, len(line)-1)], m)
			}
		}
		if err := c.write(m); err != nil {
			return err
		}
	}
	if err := png.Encode(w, c); err != nil {
		return fmt.Errorf("writing PNG: %w", err)
	}
	return nil
}

func colourOf(i ink) color.RGBA {
	c := color.RGBA{A: 255}
	if _, err := fmt.Sscanf(inks[i].light, "#%02x%02x%02x", &c.R, &c.G, &c.B); err != nil {
		return color.RGBA{A: 255}
	}
	return c
}

// stroke draws a line with round ends: each pixel near it gets as much of the ink as it is covered.
func (c canvas) stroke(from, to point, m mark) {
	half, of := m.width*dense/2, colourOf(m.ink)
	a, b := point{from.x * dense, from.y * dense}, point{to.x * dense, to.y * dense}
	dx, dy := b.x-a.x, b.y-a.y
	reach := half + 1
	for y := math.Floor(min(a.y, b.y) - reach); y <= max(a.y, b.y)+reach; y++ {
		lo, hi := min(a.x, b.x), max(a.x, b.x)
		if math.Abs(dy) > 1 { // only where the line passes this row
			near := func(at float64) float64 { return a.x + dx*min(max((at-a.y)/dy, 0), 1) }
			lo, hi = min(near(y-reach), near(y+reach)), max(near(y-reach), near(y+reach))
		}
		for x := math.Floor(lo - reach); x <= hi+reach; x++ {
			along := 0.0
			if length := dx*dx + dy*dy; length > 0 {
				along = min(max(((x-a.x)*dx+(y-a.y)*dy)/length, 0), 1)
			}
			ox, oy := x-a.x-along*dx, y-a.y-along*dy
			away := math.Sqrt(ox*ox + oy*oy)
			c.blend(int(x), int(y), of, m.opacity*min(max(half+0.5-away, 0), 1))
		}
	}
}

func (c canvas) blend(x, y int, of color.RGBA, share float64) {
	if share <= 0 || !image.Pt(x, y).In(c.Rect) {
		return
	}
	at := c.Pix[c.PixOffset(x, y):]
	for i, v := range [...]uint8{of.R, of.G, of.B} {
		at[i] += uint8(math.Round((float64(v) - float64(at[i])) * share))
	}
}

// write writes a text on a ground of its own, so that lines do not run through it.
func (c canvas) write(m mark) error {
	if m.text == "" {
		return nil
	}
	if c.faces[m.size] == nil {
		face, err := opentype.NewFace(c.font, &opentype.FaceOptions{Size: m.size * dense, DPI: 72, Hinting: font.HintingFull})
		if err != nil {
			return fmt.Errorf("sizing the font: %w", err)
		}
		c.faces[m.size] = face
	}
	out := font.Drawer{Dst: c, Src: image.NewUniform(colourOf(m.ink)), Face: c.faces[m.size]}
	width := out.MeasureString(m.text).Ceil()
	left, base := int(m.at.x*dense)-int(float64(width)*m.anchor), int(m.at.y*dense)
	for y := base - int(m.size*dense*0.8); y < base+int(m.size*dense*0.25); y++ {
		for x := left - dense; x < left+width+dense; x++ {
			c.blend(x, y, colourOf(inkGround), 0.75)
		}
	}
	out.Dot = fixed.P(left, base)
	out.DrawString(m.text)
	return nil
}
