package report

import (
	"fmt"
	"slices"
)

// blockFigures show the importance of transformer blocks before some were removed.
func (p *Page) blockFigures() ([]Figure, error) {
	var figures []Figure
	for _, b := range p.Blocks {
		var rows bars
		for _, block := range b.Blocks {
			row := bar{name: fmt.Sprintf("block %d", block.Index), value: block.Score, text: fmt.Sprintf("%.4f", block.Score), color: series[0]}
			if !block.Kept {
				row.color, row.text = series[1], row.text+", removed"
			}
			rows = append(rows, row)
		}
		f := Figure{
			Name: fileName(b.Criterion, b.Model), Title: fmt.Sprintf("%s: %s", b.Model, b.Criterion),
			Caption: "What each transformer block does to the model; the least important go first. Orange ones were removed.", width: plotWidth,
		}
		f.plot, f.height = newBarPlot(b.Criterion, rows)
		figures = append(figures, f)
	}
	return figures, nil
}

// mostWeights is how many weights a plot shows; the table has all.
const mostWeights = 40

// weightFigures show how far each quantized weight is from what it was.
func (p *Page) weightFigures() ([]Figure, error) {
	var figures []Figure
	for _, w := range p.Weights {
		shown := slices.Clone(w.Weights)
		caption := "Relative error of each quantized weight, |w − w′| / |w| in Frobenius norms, in the graph's order."
		if len(shown) > mostWeights {
			slices.SortStableFunc(shown, func(a, b Weight) int {
				switch {
				case a.Error > b.Error:
					return -1
				case a.Error < b.Error:
					return 1
				}
				return 0
			})
			shown = shown[:mostWeights]
			caption = fmt.Sprintf("Relative error of the %d weights that have most, |w − w′| / |w| in Frobenius norms.", mostWeights)
		}
		var rows bars
		for _, weight := range shown {
			rows = append(rows, bar{weight.Name, weight.Error, fmt.Sprintf("%.4f", weight.Error), series[0]})
		}
		f := Figure{
			Name: fileName("quantization-error", w.Model), Title: fmt.Sprintf("%s: error of weights, %s", w.Model, w.Scheme), Caption: caption, width: plotWidth,
		}
		f.plot, f.height = newBarPlot("relative error", rows)
		figures = append(figures, f)
	}
	return figures, nil
}
