package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"graft/convert"
	"graft/graph/onnx"
	"graft/quantize"
	"graft/runtime"
)

// loadedAs is the scheme of the reference's --quant_type, "" for no.
func loadedAs(quantType string) (string, error) {
	if quantType == "no" || quantType == "" {
		return "", nil
	}
	s, err := quantize.SchemeNamed(quantType)
	if err != nil || s.Name != "int8-weight" && s.Name != "int4-weight" {
		return "", withHint(usagef("eval: --quant_type %s: want no, weight_only_int8 or weight_only_int4", quantType),
			"graft quantize has all schemes, and writes a model that eval takes")
	}
	return s.Name, nil
}

// targetOf is what the weights are quantized for: the provider that runs them. The one that is chosen for the model as it
// is may lack the scheme; then it is the scheme's own, for which another is chosen.
func targetOf(m *convert.Model, scheme string, run runtime.Options) (quantize.Target, error) {
	if run.Provider != runtime.Auto {
		return quantize.Target(run.Provider), nil
	}
	s, err := quantize.SchemeNamed(scheme)
	if err != nil {
		return "", err
	}
	name, _ := runtime.Choose(m.Graph, run.Precision)
	if t := quantize.Target(name); slices.Contains(s.Targets, t) {
		return t, nil
	}
	return "", nil
}

// quantized has the model's weights as a scheme stores them for the provider that run names, in an ONNX file of the
// folder that it returns.
func quantized(ctx context.Context, m *convert.Model, scheme string, run runtime.Options) (dir string, err error) {
	target, err := targetOf(m, scheme, run)
	if err != nil {
		return "", err
	}
	if _, err := m.Raise(); err != nil {
		return "", err
	}
	plan, err := quantize.New(ctx, m.Graph, quantize.Options{Scheme: scheme, Target: target})
	if err != nil {
		return "", fmt.Errorf("read model %q: %w", m.Path, err)
	}
	if err := m.ReplaceGraph(plan.Apply()); err != nil {
		return "", err
	}
	if dir, err = os.MkdirTemp("", "graft-quantized-*"); err != nil {
		return "", err
	}
	m.File = filepath.Join(dir, "model.onnx")
	if err := onnx.Write(m.File, m.Graph, onnx.Options{}); err != nil {
		os.RemoveAll(dir)
		return "", fmt.Errorf("write the quantized graph: %w", err)
	}
	return dir, nil
}
