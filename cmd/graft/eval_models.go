package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// pair is a model for queries and one for documents, most often the same.
type pair struct{ query, document string }

// models lists what is to be evaluated: the models named, then the checkpoints.
func (o *evalOptions) models() ([]pair, error) {
	if o.all && o.checkpoints == "" {
		return nil, withHint(usagef("eval: --evaluate_all needs the folder of the checkpoints"), "add --checkpoints DIR")
	}
	var list []pair
	for _, m := range o.modelList {
		list = append(list, pair{m, m})
	}
	if p := (pair{o.queryModel, o.docModel}); p != (pair{}) {
		if len(list) > 1 {
			return nil, usagef("eval: --query-model and --document-model go with one MODEL, got %q", o.modelList)
		}
		model := ""
		if len(list) == 1 {
			model = list[0].query
		}
		list = []pair{{cmp.Or(p.query, model, p.document), cmp.Or(p.document, model, p.query)}}
	}
	if o.checkpoints != "" {
		found, err := checkpoints(o.checkpoints)
		if err != nil {
			return nil, err
		}
		for _, dir := range found {
			list = append(list, pair{dir, dir})
		}
	}
	if len(list) == 0 {
		return nil, withHint(usagef("eval needs a MODEL"), "graft eval --help")
	}
	return list, nil
}

// openable opens each of several models once, which reads little of it, so that a mistake in the last does not
// come to light when the others are evaluated.
func (o *evalOptions) openable(ctx context.Context, models []pair, stderr io.Writer) error {
	if len(models) == 1 && models[0].query == models[0].document {
		return nil
	}
	e := o.encoder
	e.open.ONNX = true
	if err := cmp.Or(e.check(), e.settle()); err != nil {
		return err
	}
	opened := map[string]bool{}
	for _, p := range models {
		for _, path := range []string{p.query, p.document} {
			if opened[path] {
				continue
			}
			m, err := openModel(ctx, path, e.open, stderr)
			if err != nil {
				return err
			}
			m.Close()
			opened[path] = true
		}
	}
	return nil
}

// numberedModule is a folder of a model directory, such as 1_Pooling: it has a config.json and is no model.
var numberedModule = regexp.MustCompile(`^[0-9]+_`)

// checkpoints lists the models in a folder: those named checkpoint-N in the order of N where there are some, as in what
// train writes, else every model directory in the order of names.
func checkpoints(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("eval: checkpoints: %w", err)
	}
	var models []string
	steps := map[string]int{}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if numberedModule.MatchString(e.Name()) || !isModel(path) {
			continue
		}
		models = append(models, path)
		if n, ok := strings.CutPrefix(e.Name(), "checkpoint-"); ok {
			if step, err := strconv.Atoi(n); err == nil {
				steps[path] = step
			}
		}
	}
	if len(models) == 0 {
		return nil, fmt.Errorf("eval: no model directories (with a config.json) in %q", dir)
	}
	if len(steps) > 0 {
		models = slices.DeleteFunc(models, func(m string) bool { _, ok := steps[m]; return !ok })
		slices.SortFunc(models, func(a, b string) int { return steps[a] - steps[b] })
	}
	return models, nil
}

// isModel reports whether a folder looks like a model directory.
func isModel(dir string) bool {
	for _, name := range []string{"config.json", "model_config.json", "adapter_config.json", filepath.Join("onnx", "model.onnx")} {
		if fileExists(filepath.Join(dir, name)) {
			return true
		}
	}
	return false
}
