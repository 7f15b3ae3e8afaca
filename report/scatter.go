package report

import (
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// scatter draws labelled points, and a line from each to the one that it came from.
type scatter []mark

type mark struct {
	x, y  float64
	label string
	color ink
	from  int // index of the point that it came from, -1: none
}

const dotRadius = 4.5

// DataRange implements plot.DataRanger.
func (s scatter) DataRange() (xmin, xmax, ymin, ymax float64) {
	xmin, xmax, ymin, ymax = math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, m := range s {
		xmin, xmax = math.Min(xmin, m.x), math.Max(xmax, m.x)
		ymin, ymax = math.Min(ymin, m.y), math.Max(ymax, m.y)
	}
	return xmin, xmax, ymin, ymax
}

// Plot implements plot.Plotter.
func (s scatter) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	at := make([]vg.Point, len(s))
	for i, m := range s {
		at[i] = vg.Point{X: x(m.x), Y: y(m.y)}
	}
	for i, m := range s {
		if m.from >= 0 {
			c.StrokeLine2(draw.LineStyle{Color: faint, Width: 1, Dashes: []vg.Length{3, 3}}, at[m.from].X, at[m.from].Y, at[i].X, at[i].Y)
		}
	}
	for i, m := range s {
		c.DrawGlyph(draw.GlyphStyle{Color: m.color, Radius: dotRadius, Shape: draw.CircleGlyph{}}, at[i])
	}
	style := letters(words)
	for i, box := range s.place(c.Rectangle, at) {
		c.FillText(style, vg.Point{X: box.Min.X, Y: box.Min.Y - style.FontExtents().Descent/2}, s[i].label)
	}
}

// place finds a box for each label beside its point: the first of the places around it that covers no
// point and no other label, else the one that covers least.
func (s scatter) place(area vg.Rectangle, at []vg.Point) []vg.Rectangle {
	var taken []vg.Rectangle
	for _, p := range at {
		taken = append(taken, around(p, dotRadius+1))
	}
	style := letters(words)
	boxes := make([]vg.Rectangle, len(s))
	for i, m := range s {
		w, h := style.Width(m.label), style.Height(m.label)
		least := math.Inf(1)
		for _, box := range spots(at[i], w, h) {
			cost := outside(box, area)
			for k, other := range taken {
				if k != i {
					cost += overlap(box, other)
				}
			}
			if cost < least {
				least, boxes[i] = cost, box
			}
		}
		taken = append(taken, boxes[i])
	}
	return boxes
}

// spots are places for a label of the size, the best first.
func spots(p vg.Point, w, h vg.Length) []vg.Rectangle {
	var list []vg.Rectangle
	for _, d := range []vg.Length{dotRadius + 3, 2.5 * dotRadius, 4 * dotRadius} {
		for _, corner := range []vg.Point{
			{X: p.X + d, Y: p.Y - h/2}, {X: p.X - d - w, Y: p.Y - h/2}, // right, left
			{X: p.X - w/2, Y: p.Y + d}, {X: p.X - w/2, Y: p.Y - d - h}, // above, below
			{X: p.X + d/2, Y: p.Y + d}, {X: p.X + d/2, Y: p.Y - d - h},
			{X: p.X - d/2 - w, Y: p.Y + d}, {X: p.X - d/2 - w, Y: p.Y - d - h},
		} {
			list = append(list, vg.Rectangle{Min: corner, Max: vg.Point{X: corner.X + w, Y: corner.Y + h}})
		}
	}
	return list
}

func around(p vg.Point, r vg.Length) vg.Rectangle {
	return vg.Rectangle{Min: vg.Point{X: p.X - r, Y: p.Y - r}, Max: vg.Point{X: p.X + r, Y: p.Y + r}}
}

// overlap is the area that two boxes share.
func overlap(a, b vg.Rectangle) float64 {
	w := min(a.Max.X, b.Max.X) - max(a.Min.X, b.Min.X)
	h := min(a.Max.Y, b.Max.Y) - max(a.Min.Y, b.Min.Y)
	return float64(max(0, w) * max(0, h))
}

// outside is how much of a box lies beyond the area; it counts more than what overlaps.
func outside(box, area vg.Rectangle) float64 {
	size := box.Size()
	return 4 * (float64(size.X*size.Y) - overlap(box, area))
}
