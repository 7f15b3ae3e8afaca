package report

import (
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
)

// ink is a colour of the plots. In a PNG it is what it says; in the page its place is taken by the CSS
// variable of its name, which has another value where the reader's screen is dark.
type ink struct {
	variable string
	value    color.RGBA
}

// RGBA implements color.Color.
func (i ink) RGBA() (r, g, b, a uint32) { return i.value.RGBA() }

var (
	paper = ink{"paper", color.RGBA{0xff, 0xff, 0xfe, 0xff}}
	words = ink{"ink", color.RGBA{0x1f, 0x23, 0x28, 0xff}}
	faint = ink{"faint", color.RGBA{0x6a, 0x73, 0x7d, 0xff}}
	rules = ink{"rule", color.RGBA{0xd8, 0xde, 0xe4, 0xff}}
	// series tell models, runs and metrics apart: Okabe and Ito's colours for all kinds of sight, the
	// yellow and the black left out.
	series = []ink{
		{"series-0", color.RGBA{0x00, 0x72, 0xb2, 0xff}},
		{"series-1", color.RGBA{0xd5, 0x5e, 0x00, 0xff}},
		{"series-2", color.RGBA{0x00, 0x9e, 0x73, 0xff}},
		{"series-3", color.RGBA{0xcc, 0x79, 0xa7, 0xff}},
		{"series-4", color.RGBA{0xe6, 0x9f, 0x00, 0xff}},
		{"series-5", color.RGBA{0x56, 0xb4, 0xe9, 0xff}},
	}
)

// inks are all colours that a plot may use.
func inks() []ink { return append([]ink{paper, words, faint, rules}, series...) }

// Sizes of a plot, in units of which 72 are an inch in a PNG. They are small, so that the letters can
// still be read where the page shrinks a plot to the width of a phone.
const (
	plotWidth  = 420
	plotHeight = 300
	fontSize   = 12
)

// newPlot is an empty plot in the page's style. Its title is in the page, beside it.
func newPlot(x, y string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = paper
	p.X.Label.Text, p.Y.Label.Text = x, y
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		sans(&axis.Label.TextStyle, faint)
		sans(&axis.Tick.Label, words)
		axis.LineStyle.Color, axis.Tick.LineStyle.Color = rules, rules
		axis.LineStyle.Width, axis.Tick.LineStyle.Width = 1, 1
		axis.Label.Padding = 4
	}
	sans(&p.Legend.TextStyle, words)
	p.Legend.Top, p.Legend.ThumbnailWidth, p.Legend.Padding = true, 16, 2
	return p
}

// sans sets a text style's font and colour.
func sans(s *text.Style, c ink) {
	s.Font = font.Font{Typeface: "Liberation", Variant: "Sans", Size: fontSize}
	s.Color = c
}

// letters is a text style of its own.
func letters(c ink) text.Style {
	s := text.Style{Handler: plot.DefaultTextHandler}
	sans(&s, c)
	return s
}

// widen adds a share of the range at both ends of an axis, so that nothing lies on its edge.
func widen(a *plot.Axis, low, high float64) {
	span := a.Max - a.Min
	if span <= 0 || math.IsInf(span, 0) {
		span = math.Max(math.Abs(a.Max), 1) / 10
	}
	a.Min, a.Max = a.Min-low*span, a.Max+high*span
}

// cut shortens a name from its front, where names of weights are alike, at a dot if there is one near.
func cut(name string, most int) string {
	runes := []rune(name)
	if len(runes) <= most {
		return name
	}
	tail := string(runes[len(runes)-most+1:])
	if i := strings.IndexByte(tail, '.'); i >= 0 && i < most/4 {
		tail = tail[i+1:]
	}
	return "…" + tail
}
