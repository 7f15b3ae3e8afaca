package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
)

//go:embed page.html
var pageSource string

//go:embed page.css
var pageStyle string

// pageTemplate is the page; html/template escapes every string that comes from a file or a name.
var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"metric": MetricName,
	"score":  func(x float64) string { return format("%.5f", x) },
	"signed": func(x float64) string { return strings.ReplaceAll(format("%+.5f", x), "-", "−") },
	"short":  func(x float64) string { return format("%.4g", x) },
	"fixed":  func(digits int, x float64) string { return format(fmt.Sprintf("%%.%df", digits), x) },
	"MB":     func(n int64) string { return fmt.Sprintf("%.1f", float64(n)/1e6) },
	"style":  func() template.CSS { return template.CSS(pageStyle) },
}).Parse(pageSource))

// format prints a number, and says so where it is none.
func format(verb string, x float64) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "not a number"
	}
	return fmt.Sprintf(verb, x)
}

// view is what the template sees: the page, its plots by part, and a table of all models.
type view struct {
	*Page
	Overview overview
	Quality  []Figure
	Blocks   []part[Blocks]
	Weights  []part[Weights]
	Training []part[Training]
	Changed  []Figure // differences of scores
}

// part is something measured, and its plots.
type part[T any] struct {
	Data    T
	Figures []Figure
}

// overview is the table of models; a column of which no model has a value is left out.
type overview struct {
	Rows                             []overviewRow
	Quality                          string // what the column of quality is
	Parameters, Layers, Bytes, Speed bool
}

type overviewRow struct {
	Model   Model
	Quality *float64
	Speed   *Speed
}

// Write writes the page.
func (p *Page) Write(w io.Writer) error {
	v := view{Page: p, Overview: p.overview()}
	var err error
	if v.Quality, err = p.qualityFigures(); err != nil {
		return err
	}
	if v.Changed, err = p.differenceFigures(); err != nil {
		return err
	}
	if v.Blocks, err = parts(p.Blocks, func(b Blocks) ([]Figure, error) { return (&Page{Blocks: []Blocks{b}}).blockFigures() }); err != nil {
		return err
	}
	if v.Weights, err = parts(p.Weights, func(b Weights) ([]Figure, error) { return (&Page{Weights: []Weights{b}}).weightFigures() }); err != nil {
		return err
	}
	if v.Training, err = parts(p.Training, func(b Training) ([]Figure, error) { return (&Page{Training: []Training{b}}).trainingFigures() }); err != nil {
		return err
	}
	if err := pageTemplate.Execute(w, v); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

func parts[T any](list []T, draw func(T) ([]Figure, error)) ([]part[T], error) {
	var all []part[T]
	for _, data := range list {
		figures, err := draw(data)
		if err != nil {
			return nil, err
		}
		all = append(all, part[T]{data, figures})
	}
	return all, nil
}

// overview joins what is known of each model in one row. Of several rows of a benchmark it takes the fastest.
func (p *Page) overview() overview {
	qualities, tasks, metric := p.Qualities()
	var o overview
	if len(tasks) > 0 {
		o.Quality = qualityLabel(tasks, metric)
	}
	for _, m := range p.Models {
		row := overviewRow{Model: m}
		for _, q := range qualities {
			if q.Model == m.Name && (row.Quality == nil || q.Value > *row.Quality) {
				row.Quality = &q.Value
			}
		}
		for _, s := range p.Speeds {
			if s.Model == m.Name && (row.Speed == nil || s.Rate > row.Speed.Rate) {
				row.Speed = &s
			}
		}
		o.Parameters = o.Parameters || m.Parameters > 0
		o.Layers = o.Layers || m.Layers > 0
		o.Bytes = o.Bytes || m.Bytes > 0
		o.Speed = o.Speed || row.Speed != nil
		o.Rows = append(o.Rows, row)
	}
	return o
}

// Metrics are the further metrics that scores have, in the order of the first that has them.
func (p *Page) Metrics() []string {
	var names []string
	for _, s := range p.Scores {
		for _, o := range s.Others {
			if !slices.Contains(names, o.Metric) {
				names = append(names, o.Metric)
			}
		}
	}
	return names
}

// Other is a further metric of the score, as it is shown.
func (s Score) Other(metric string) string {
	for _, o := range s.Others {
		if o.Metric == metric {
			return format("%.5f", o.Value)
		}
	}
	return ""
}

// Compared reports whether there are differences.
func (p *Page) Compared() bool {
	return slices.ContainsFunc(p.Scores, func(s Score) bool { return s.Difference != nil })
}

// HasLatency reports whether latencies were measured.
func (p *Page) HasLatency() bool {
	return slices.ContainsFunc(p.Speeds, func(s Speed) bool { return s.Latency > 0 })
}

// Milliseconds is the median latency of a single text.
func (s Speed) Milliseconds() float64 { return 1e3 * s.Latency }

// Last is the last step of the run.
func (t Training) Last() TrainStep {
	if len(t.Steps) == 0 {
		return TrainStep{}
	}
	return t.Steps[len(t.Steps)-1]
}
