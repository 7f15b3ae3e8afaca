package report

import (
	"bytes"
	"fmt"
	"html"
	"html/template"
	"io"
	"regexp"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Figure is a plot of the page.
type Figure struct {
	Name    string // of its file, without an ending
	Title   string
	Caption string // how it is to be read

	plot          *plot.Plot
	width, height float64
}

// pngDPI gives a PNG twice the dots of a usual screen.
const pngDPI = 192

// draw draws the plot inside a margin.
func (f *Figure) draw(c vg.CanvasSizer) {
	const margin = 8
	f.plot.Draw(draw.Crop(draw.New(c), margin, -margin-6, margin, -margin))
}

// PNG writes the plot as an image.
func (f *Figure) PNG(w io.Writer) error {
	c := vgimg.NewWith(vgimg.UseWH(vg.Points(f.width), vg.Points(f.height)), vgimg.UseDPI(pngDPI), vgimg.UseBackgroundColor(paper))
	f.draw(c)
	if _, err := (vgimg.PngCanvas{Canvas: c}).WriteTo(w); err != nil {
		return fmt.Errorf("draw %q: %w", f.Name, err)
	}
	return nil
}

// SVG is the plot as an element of the page: it scales with its column, and its colours are the page's.
func (f *Figure) SVG() (template.HTML, error) {
	c := vgsvg.New(vg.Points(f.width), vg.Points(f.height))
	f.draw(c)
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return "", fmt.Errorf("draw %q: %w", f.Name, err)
	}
	_, body, ok := strings.Cut(b.String(), "<svg")
	if ok {
		_, body, ok = strings.Cut(body, ">")
	}
	if !ok {
		return "", fmt.Errorf("draw %q: the drawing is not an SVG element", f.Name)
	}
	head := fmt.Sprintf(`<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, f.width, f.height, html.EscapeString(f.Title+". "+f.Caption))
	return template.HTML(head + themed(body)), nil
}

// svgText is a text of a drawing. There is one font and one size.
var svgText = regexp.MustCompile(`<text ([^>]*?)font-family:[^;"]*;font-variant:[^;"]*;font-weight:[^;"]*;font-style:[^;"]*;([^>]*)>([^<]*)</text>`)

// themed replaces the colours of a drawing by the page's variables. Texts get the page's font, whatever the reader
// has, but the width that they were placed with.
func themed(svg string) string {
	var pairs []string
	for _, i := range inks() {
		hex := fmt.Sprintf("#%02X%02X%02X", i.value.R, i.value.G, i.value.B)
		for _, property := range []string{"fill:", "stroke:"} {
			pairs = append(pairs, property+hex, property+"var(--"+i.variable+")")
		}
	}
	style := letters(words)
	svg = svgText.ReplaceAllStringFunc(svg, func(text string) string {
		part := svgText.FindStringSubmatch(text)
		width := style.Width(html.UnescapeString(part[3]))
		return fmt.Sprintf(`<text textLength="%.2f" lengthAdjust="spacingAndGlyphs" %s%s>%s</text>`, width.Points(), part[1], part[2], part[3])
	})
	return strings.NewReplacer(pairs...).Replace(svg)
}

// notInFileNames is what a file's name does not hold here.
var notInFileNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// fileName joins words to the name of a figure.
func fileName(words ...string) string {
	return strings.Trim(notInFileNames.ReplaceAllString(strings.Join(words, "-"), "-"), "-.")
}

// Figures are the page's plots, in its order. Names are unique.
func (p *Page) Figures() ([]Figure, error) {
	var all []Figure
	for _, part := range []func() ([]Figure, error){p.qualityFigures, p.differenceFigures, p.blockFigures, p.weightFigures, p.trainingFigures} {
		figures, err := part()
		if err != nil {
			return nil, err
		}
		all = append(all, figures...)
	}
	seen := map[string]int{}
	for i := range all {
		name := all[i].Name
		if seen[name]++; seen[name] > 1 {
			all[i].Name = fmt.Sprintf("%s-%d", name, seen[name])
		}
	}
	return all, nil
}
