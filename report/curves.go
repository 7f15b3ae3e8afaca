package report

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"
)

// trainingFigures are each run's loss, learning rate and evaluations.
func (p *Page) trainingFigures() ([]Figure, error) {
	var figures []Figure
	for _, t := range p.Training {
		for _, draw := range []func(Training) (Figure, bool, error){lossFigure, rateFigure, evaluationFigure} {
			f, ok, err := draw(t)
			if err != nil {
				return nil, fmt.Errorf("draw training of %q: %w", t.Name, err)
			}
			if ok {
				f.width, f.height = plotWidth, plotHeight
				figures = append(figures, f)
			}
		}
	}
	return figures, nil
}

// legendRoom is the share of a plot's height that a line of its legend takes.
const legendRoom = 0.08

// lossFigure shows each step's loss and its running mean.
func lossFigure(t Training) (Figure, bool, error) {
	each := make(plotter.XYs, 0, len(t.Steps))
	for _, s := range t.Steps {
		if !math.IsNaN(s.Loss) && !math.IsInf(s.Loss, 0) {
			each = append(each, plotter.XY{X: float64(s.Step), Y: s.Loss})
		}
	}
	if len(each) < 2 {
		return Figure{}, false, nil
	}
	p := newPlot("step", "loss")
	p.Add(grid())
	smooth := max(1, len(each)/20)
	if err := addLine(p, each, draw.LineStyle{Color: series[5], Width: 1}, "each step"); err != nil {
		return Figure{}, false, err
	}
	if err := addLine(p, runningMean(each, smooth), draw.LineStyle{Color: series[0], Width: 2}, fmt.Sprintf("mean of %d", 2*smooth+1)); err != nil {
		return Figure{}, false, err
	}
	p.Y.Min = min(0, p.Y.Min)
	widen(&p.Y, 0, legendRoom*2)
	return Figure{Name: fileName("loss", t.Name), Title: t.Name + ": loss", Caption: "Loss of each training step, and its running mean.", plot: p}, true, nil
}

// runningMean is the mean of each point and the n before and after it.
func runningMean(each plotter.XYs, n int) plotter.XYs {
	mean := slices.Clone(each)
	for i := range each {
		window := each[max(0, i-n):min(len(each), i+n+1)]
		sum := 0.0
		for _, w := range window {
			sum += w.Y
		}
		mean[i].Y = sum / float64(len(window))
	}
	return mean
}

func rateFigure(t Training) (Figure, bool, error) {
	var points plotter.XYs
	for _, s := range t.Steps {
		points = append(points, plotter.XY{X: float64(s.Step), Y: s.LearningRate})
	}
	if len(points) < 2 {
		return Figure{}, false, nil
	}
	p := newPlot("step", "learning rate")
	p.Add(grid())
	err := addLine(p, points, draw.LineStyle{Color: series[0], Width: 2}, "")
	return Figure{Name: fileName("learning-rate", t.Name), Title: t.Name + ": learning rate", Caption: "The rate that each step was taken with.", plot: p}, true, err
}

// evaluationFigure shows each metric that was evaluated on the way.
func evaluationFigure(t Training) (Figure, bool, error) {
	curves := map[string]plotter.XYs{}
	for _, e := range t.Evaluations {
		for name, v := range e.Metrics {
			curves[name] = append(curves[name], plotter.XY{X: float64(e.Step), Y: v})
		}
	}
	if len(curves) == 0 {
		return Figure{}, false, nil
	}
	p := newPlot("step", "")
	p.Add(grid())
	for i, name := range slices.Sorted(maps.Keys(curves)) {
		color := series[i%len(series)]
		if err := addLine(p, curves[name], draw.LineStyle{Color: color, Width: 2}, MetricName(name)); err != nil {
			return Figure{}, false, err
		}
		dots, err := plotter.NewScatter(curves[name])
		if err != nil {
			return Figure{}, false, err
		}
		dots.GlyphStyle = draw.GlyphStyle{Color: color, Radius: 3, Shape: draw.CircleGlyph{}}
		p.Add(dots)
	}
	widen(&p.Y, 0.05, 0.05+legendRoom*float64(len(curves)))
	return Figure{Name: fileName("evaluations", t.Name), Title: t.Name + ": evaluations", Caption: "What the model scored on the way.", plot: p}, true, nil
}

// addLine adds a line, and where it has a name, a line of the legend.
func addLine(p *plot.Plot, points plotter.XYs, style draw.LineStyle, name string) error {
	line, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	line.LineStyle = style
	p.Add(line)
	if name != "" {
		p.Legend.Add(name, line)
	}
	return nil
}
