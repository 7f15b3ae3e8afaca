package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"graft/convert"
	"graft/graph/onnx"
	"graft/quantize"
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

// quantized has the model's weights as a scheme stores them, in an ONNX file of the folder that it returns.
func quantized(ctx context.Context, m *convert.Model, scheme, provider string) (dir string, err error) {
	if _, err := m.Raise(); err != nil {
		return "", err
	}
	o := quantize.Options{Scheme: scheme}
	if provider == "cuda" {
		o.Target = quantize.CUDA
	}
	plan, err := quantize.New(ctx, m.Graph, o)
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
