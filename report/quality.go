package report

import (
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Quality is the mean main score of a model over the tasks that all scored models have.
type Quality struct {
	Model, Provider, Precision string
	Value                      float64
}

// Qualities are the means of all scored models, the tasks that they are over, and the metric. There are
// none where the models have no task in common.
func (p *Page) Qualities() (list []Quality, tasks []string, metric string) {
	type run struct{ model, provider, precision string }
	var runs []run
	values := map[string]map[run]float64{}
	for _, s := range p.Scores {
		r := run{s.Model, s.Provider, s.Precision}
		if !slices.Contains(runs, r) {
			runs = append(runs, r)
		}
		if values[s.Task] == nil {
			values[s.Task] = map[run]float64{}
			tasks = append(tasks, s.Task)
		}
		values[s.Task][r] = s.Value
		if metric == "" {
			metric = s.Metric
		}
	}
	tasks = slices.DeleteFunc(tasks, func(t string) bool { return len(values[t]) < len(runs) })
	if len(tasks) == 0 {
		return nil, nil, ""
	}
	for _, r := range runs {
		sum := 0.0
		for _, t := range tasks {
			sum += values[t][r]
		}
		list = append(list, Quality{r.model, r.provider, r.precision, sum / float64(len(tasks))})
	}
	return list, tasks, metric
}

// metricNames are how metrics are written in papers.
var metricNames = map[string]string{
	"ndcg_at_10": "nDCG@10", "recall_at_10": "recall@10", "recall_at_100": "recall@100", "map_at_10": "MAP@10", "mrr_at_10": "MRR@10",
}

// MetricName is a metric as readers know it.
func MetricName(key string) string {
	if name, ok := metricNames[key]; ok {
		return name
	}
	return key
}

// qualityLabel names the axis of quality.
func qualityLabel(tasks []string, metric string) string {
	if len(tasks) == 1 {
		return MetricName(metric) + ", " + tasks[0]
	}
	return fmt.Sprintf("mean %s of %d tasks", MetricName(metric), len(tasks))
}

// qualityFigures set quality against throughput and against size.
func (p *Page) qualityFigures() ([]Figure, error) {
	qualities, tasks, metric := p.Qualities()
	over := "Quality is " + MetricName(metric) + " on " + strings.Join(tasks, ", ") + "."
	lines := " A dashed line leads from a model to what was made from it."
	var figures []Figure
	if marks := p.speedMarks(qualities); len(marks) > 1 {
		figures = append(figures, Figure{
			Name: "quality-throughput", Title: "Quality and throughput",
			Caption: over + " Further right is faster, further up is better." + lines,
			plot:    newScatterPlot("documents a second", qualityLabel(tasks, metric), marks), width: plotWidth, height: plotHeight,
		})
	}
	if marks := p.sizeMarks(qualities); len(marks) > 1 {
		figures = append(figures, Figure{
			Name: "quality-size", Title: "Quality and size",
			Caption: over + " Further left is smaller, further up is better." + lines,
			plot:    newScatterPlot("weights on disk, MB", qualityLabel(tasks, metric), marks), width: plotWidth, height: plotHeight,
		})
	}
	return figures, nil
}

func newScatterPlot(x, y string, marks scatter) *plot.Plot {
	p := newPlot(x, y)
	p.Add(grid(), marks)
	p.X.Min = 0
	widen(&p.X, 0, 0.2)
	widen(&p.Y, 0.15, 0.15)
	return p
}

// grid are faint lines behind a plot.
func grid() *plotter.Grid {
	g := plotter.NewGrid()
	style := draw.LineStyle{Color: rules, Width: 0.5}
	g.Vertical, g.Horizontal = style, style
	return g
}

// speedMarks are the benchmark's rows of models whose quality is known. Where a model was not scored under
// the row's provider and precision, but otherwise in one way only, that score is taken.
func (p *Page) speedMarks(qualities []Quality) scatter {
	providers := map[string]bool{}
	for _, s := range p.Speeds {
		if s.Model != "" {
			providers[s.Provider] = true
		}
	}
	var marks scatter
	var rows []Speed
	for _, s := range p.Speeds {
		q, ok := qualityOf(qualities, s.Model, s.Provider, s.Precision)
		if s.Model == "" || !ok {
			continue
		}
		label := s.Model
		if len(providers) > 1 {
			label += " " + s.Provider
		}
		if s.Precision != "fp32" && s.Precision != "" {
			label += " " + s.Precision
		}
		rows = append(rows, s)
		marks = append(marks, mark{x: s.Rate, y: q, label: label, color: p.colorOf(s.Model), from: -1})
	}
	for i, s := range rows {
		parent := p.parent(s.Model)
		marks[i].from = slices.IndexFunc(rows, func(o Speed) bool {
			return parent != "" && o.Model == parent && o.Provider == s.Provider && o.Precision == s.Precision
		})
	}
	return marks
}

func qualityOf(list []Quality, model, provider, precision string) (float64, bool) {
	var found []Quality
	for _, q := range list {
		if q.Model != model {
			continue
		}
		if q.Provider == provider && q.Precision == precision {
			return q.Value, true
		}
		found = append(found, q)
	}
	if len(found) == 1 {
		return found[0].Value, true
	}
	return 0, false
}

// sizeMarks are the models whose size and quality are known.
func (p *Page) sizeMarks(qualities []Quality) scatter {
	var marks scatter
	var names []string
	for _, m := range p.Models {
		i := slices.IndexFunc(qualities, func(q Quality) bool { return q.Model == m.Name })
		if i < 0 || m.Bytes == 0 {
			continue
		}
		names = append(names, m.Name)
		marks = append(marks, mark{x: float64(m.Bytes) / 1e6, y: qualities[i].Value, label: m.Name, color: p.colorOf(m.Name), from: -1})
	}
	for i, name := range names {
		if parent := p.parent(name); parent != "" {
			marks[i].from = slices.Index(names, parent)
		}
	}
	return marks
}

// parent is the model that a model was made from, "" where it is not on the page.
func (p *Page) parent(name string) string {
	for _, m := range p.Models {
		if m.Name == name {
			return m.Parent
		}
	}
	return ""
}

// colorOf tells models apart, alike in all plots.
func (p *Page) colorOf(name string) ink {
	return series[max(0, slices.IndexFunc(p.Models, func(m Model) bool { return m.Name == name }))%len(series)]
}

// intervals draws differences with their confidence intervals, the first at the top.
type intervals []Score

// DataRange implements plot.DataRanger; 0 is in it.
func (s intervals) DataRange() (xmin, xmax, ymin, ymax float64) {
	for _, row := range s {
		xmin, xmax = min(xmin, row.Difference.Low), max(xmax, row.Difference.High)
	}
	return xmin, xmax, 0, float64(len(s) - 1)
}

// Plot implements plot.Plotter.
func (s intervals) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	c.StrokeLine2(draw.LineStyle{Color: faint, Width: 1}, x(0), c.Min.Y, x(0), c.Max.Y)
	for i, row := range s {
		color, at := series[0], y(float64(len(s)-1-i))
		if row.Difference.High < 0 {
			color = series[1]
		} else if row.Difference.Low <= 0 {
			color = faint
		}
		line := draw.LineStyle{Color: color, Width: 2}
		c.StrokeLine2(line, x(row.Difference.Low), at, x(row.Difference.High), at)
		for _, end := range []float64{row.Difference.Low, row.Difference.High} {
			c.StrokeLine2(line, x(end), at-4, x(end), at+4)
		}
		c.DrawGlyph(draw.GlyphStyle{Color: color, Radius: dotRadius, Shape: draw.CircleGlyph{}}, vg.Point{X: x(row.Difference.Value), Y: at})
	}
}

// differenceFigures show what each model gained or lost on each task.
func (p *Page) differenceFigures() ([]Figure, error) {
	var rows intervals
	for _, s := range p.Scores {
		if s.Difference != nil {
			rows = append(rows, s)
		}
	}
	if len(rows) == 0 {
		return nil, nil
	}
	d := newPlot("difference of "+MetricName(rows[0].Metric)+" to "+rows[0].Difference.Against, "")
	d.Add(rows)
	names := make([]string, len(rows))
	for i, s := range rows {
		names[len(rows)-1-i] = cut(s.Label(), 24) + ", " + s.Task
	}
	d.NominalY(names...)
	widen(&d.X, 0.06, 0.06)
	d.Y.Min, d.Y.Max = -0.5, float64(len(rows))-0.5
	return []Figure{{
		Name: "differences", Title: "Gained and lost",
		Caption: "Mean difference over a task's queries with its 95% bootstrap interval; grey where the interval has zero in it.",
		plot:    d, width: plotWidth, height: 1.3*barHeight*float64(len(rows)) + barAxes,
	}}, nil
}

// Label names the model, and the precision where it is not the usual one.
func (s Score) Label() string {
	if s.Precision != "" && s.Precision != "fp32" {
		return s.Model + " " + s.Precision
	}
	return s.Model
}
