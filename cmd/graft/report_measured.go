package main

import (
	"encoding/json"

	"graft/convert"
	"graft/prune"
	"graft/quantize"
	"graft/report"
)

// measured is what the model's own steps of a command measured of each layer, in the form in which a report shows it:
// show is given a step and its layers, and gives nil where they have nothing to show.
func measured[Layer, Shown any](m *foundModel, command string, show func(s convert.Step, layers []Layer) *Shown) []Shown {
	var all []Shown
	for _, s := range m.own {
		if s.Command != command {
			continue
		}
		if shown := show(s, fromJSON[Layer](s.Changes["layers"])); shown != nil {
			all = append(all, *shown)
		}
	}
	return all
}

// fromJSON reads a value of graft.json in the form that the step's package gave it.
func fromJSON[T any](v any) (list []T) {
	raw, err := json.Marshal(v)
	if err != nil || json.Unmarshal(raw, &list) != nil {
		return nil // of a form that is not known
	}
	return list
}

// blocks are the importances that pruning measured.
func (m *foundModel) blocks() []report.Blocks {
	return measured(m, "prune", func(s convert.Step, layers []prune.Layer) *report.Blocks {
		b := &report.Blocks{Model: m.Name, Criterion: settingText(s.Options["criterion"])}
		for _, l := range layers {
			if l.Score != nil {
				b.Blocks = append(b.Blocks, report.Block{Index: l.Index, Name: l.Name, Score: *l.Score, Kept: l.Kept})
			}
		}
		if b.Blocks == nil {
			return nil
		}
		return b
	})
}

// quantized are the errors of weights that quantizing measured.
func (m *foundModel) quantized() []report.Weights {
	return measured(m, "quantize", func(s convert.Step, layers []quantize.Layer) *report.Weights {
		w := &report.Weights{Model: m.Name, Scheme: settingText(s.Options["scheme"])}
		for _, l := range layers {
			if l.Error != nil {
				w.Weights = append(w.Weights, report.Weight{Name: l.Name, Form: l.Form, Error: *l.Error, Before: l.Before, After: l.After})
			}
		}
		if w.Weights == nil {
			return nil
		}
		return w
	})
}
