package report

import (
	"strings"

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

// newBarPlot is a plot of the bars.
func newBarPlot(label string, b bars) (p *plot.Plot, height float64) {
	p = newPlot(label, "")
	p.Add(b)
	names, shared := make([]string, len(b)), b.shared()
	for i, row := range b {
		names[len(b)-1-i] = cut(row.name[shared:], 30)
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
		c.FillText(style, vg.Point{X: max(start, end) + 4, Y: at + 1.5}, row.text)
	}
}

// shared is the length of what all names begin with, up to a dot.
func (b bars) shared() int {
	if len(b) == 0 {
		return 0
	}
	n := strings.LastIndexByte(b[0].name, '.') + 1
	for _, row := range b {
		for !strings.HasPrefix(row.name, b[0].name[:n]) {
			n = strings.LastIndexByte(b[0].name[:n-1], '.') + 1
		}
	}
	return n
}
