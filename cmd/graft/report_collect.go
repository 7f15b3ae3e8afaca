package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"graft/report"
)

// collection is what was found for a report.
type collection struct {
	warn     func(format string, args ...any)
	seen     map[string]bool // files and folders that were read, by absolute path
	models   []*foundModel
	scores   []*foundScore
	speeds   []report.Speed
	training []report.Training
}

// size counts what was found.
func (c *collection) size() int {
	return len(c.models) + len(c.scores) + len(c.speeds) + len(c.training)
}

// add collects what lies at a path that the user named.
func (c *collection) add(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	before := c.size()
	if info.IsDir() {
		err = c.walk(path)
	} else {
		err = c.addFile(path)
	}
	if err == nil && c.size() == before && !c.repeated(path) {
		err = fmt.Errorf("%q holds no model, no result, no benchmark and no training log", path)
	}
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// walk collects what lies in a folder. A model directory is taken as one thing.
func (c *collection) walk(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		switch {
		case d.IsDir() && path != dir && (strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".resume")):
			return fs.SkipDir
		case d.IsDir() && isReportModel(path):
			if err := c.addModel(path); err != nil {
				return err
			}
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		return c.addFile(path)
	})
}

// isReportModel reports whether a folder is a model directory, and not only a folder that has one in it.
func isReportModel(dir string) bool {
	return fileExists(filepath.Join(dir, "graft.json")) || isModel(dir)
}

// addFile collects a file of a kind that is known by its name, and passes over others.
func (c *collection) addFile(path string) error {
	name := filepath.Base(path)
	switch {
	case strings.EqualFold(filepath.Ext(name), ".onnx"):
		return c.addModel(path)
	case name == "train_log.jsonl":
		return c.addLog(path)
	case name == "model_meta.json" || strings.HasSuffix(name, ".graft_settings.json") || strings.HasSuffix(name, "_predictions.json"):
		return nil // beside a result
	case filepath.Ext(name) == ".json":
		return c.addJSON(path)
	}
	return nil
}

// addJSON collects a result of mteb's form, or what graft bench printed.
func (c *collection) addJSON(path string) error {
	if c.repeated(path) {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var keys map[string]json.RawMessage
	err = json.Unmarshal(data, &keys)
	has := func(key string) bool {
		return strings.Contains(string(data), `"`+key+`"`) && (err != nil || keys[key] != nil)
	}
	var other *json.UnmarshalTypeError
	switch {
	case err == nil && has("results") && has("texts"):
		return c.addBench(path, data)
	case has("task_name") || has("mteb_dataset_name"): // mteb writes NaN, which is no JSON
		return c.addResult(path)
	case err != nil && !errors.As(err, &other): // a list or a number is nothing of ours
		return fmt.Errorf("read %q: %w", path, err)
	}
	return nil
}

// repeated reports whether the path was read already, and marks it as read.
func (c *collection) repeated(path string) bool {
	abs, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	if c.seen == nil {
		c.seen = map[string]bool{}
	}
	was := c.seen[abs]
	c.seen[abs] = true
	return was
}

// page puts what was found in order: each model after the one that it was made from.
func (c *collection) page() (*report.Page, error) {
	c.nameModels()
	c.linkModels()
	c.sortModels()
	p := &report.Page{Speeds: c.speeds, Training: c.training}
	for _, m := range c.models {
		m.show()
		p.Models = append(p.Models, m.Model)
		p.Blocks = append(p.Blocks, m.blocks()...)
		p.Weights = append(p.Weights, m.quantized()...)
	}
	for i := range p.Speeds {
		p.Speeds[i].Model = c.modelOfSpeed(p.Speeds[i].Model)
	}
	var err error
	p.Scores, err = c.compared()
	return p, err
}
