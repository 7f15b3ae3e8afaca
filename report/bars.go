package report

import (
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// bars draws horizontal bars, the first at the top, each with its value at its end.
type bars []bar

type bar struct {
	name  string
	value float64
	text  string // the value, as it is shown
	color ink
}

const (
	barHeight = 18 // of a row, in the units of a plot
	barShare  = 0.7
	barAxes   = 46 // what axis, ticks and label take above and below the rows
)

// newBarPlot is a plot of the bars; legend explains colours.
func newBarPlot(label string, b bars) (p *plot.Plot, height float64) {
	p = newPlot(label, "")
	p.Add(b)
	names := make([]string, len(b))
	for i, row := range b {
		names[len(b)-1-i] = cut(row.name, 30)
	}
	p.NominalY(names...)
	p.X.Min = min(0, p.X.Min)
	widen(&p.X, 0, 0.2) // for the values at the ends
	p.X.Padding = 0
	p.Y.Min, p.Y.Max = -0.5, float64(len(b))-0.5
	return p, barHeight*float64(len(b)) + barAxes
}

// DataRange implements plot.DataRanger.
func (b bars) DataRange() (xmin, xmax, ymin, ymax float64) {
	for _, row := range b {
		xmin, xmax = min(xmin, row.value), max(xmax, row.value)
	}
	return xmin, xmax, 0, float64(len(b) - 1)
}

// Plot implements plot.Plotter.
func (b bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	half := (y(1) - y(0)) * barShare / 2
	style := letters(faint)
	style.YAlign = draw.YCenter
	for i, row := range b {
		at := y(float64(len(b) - 1 - i))
		start, end := x(0), x(row.value)
		c.FillPolygon(row.color, []vg.Point{{X: start, Y: at - half}, {X: end, Y: at - half}, {X: end, Y: at + half}, {X: start, Y: at + half}})
		c.FillText(style, vg.Point{X: max(start, end) + 4, Y: at}, row.text)
	}
}

// swatch is a colour in a legend.
type swatch struct{ color ink }

// Thumbnail implements plot.Thumbnailer.
func (s swatch) Thumbnail(c *draw.Canvas) {
	c.FillPolygon(s.color, []vg.Point{{X: c.Min.X, Y: c.Min.Y}, {X: c.Max.X, Y: c.Min.Y}, {X: c.Max.X, Y: c.Max.Y}, {X: c.Min.X, Y: c.Max.Y}})
}
