package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"graft/report"
	"graft/runtime"
)

// addBench collects what graft bench --json printed.
func (c *collection) addBench(path string, data []byte) error {
	var file struct {
		Results []runtime.BenchResult `json:"results"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return fmt.Errorf("read benchmark %q: %w", path, err)
	}
	for _, r := range file.Results {
		if len(r.Rates) == 0 || len(r.Rates) != len(file.Results[0].Rates) {
			return fmt.Errorf("read benchmark %q: row %q has %d rounds, the first row %d", path, r.Name, len(r.Rates), len(file.Results[0].Rates))
		}
		s := report.Speed{
			Model: r.Model, Name: r.Name, Rate: runtime.Median(r.Rates), Slowest: slices.Min(r.Rates), Fastest: slices.Max(r.Rates),
			Ratio: runtime.MedianRatio(r.Rates, file.Results[0].Rates), Load: r.LoadSeconds, Peak: r.PeakBytes,
		}
		if r.Model != "" {
			s.Provider, s.Precision, _ = strings.Cut(r.Note, " ")
		}
		if len(r.Latencies) > 0 {
			s.Latency = runtime.Percentile(r.Latencies, 50)
		}
		c.speeds = append(c.speeds, s)
	}
	return nil
}

// modelOfSpeed is the name on the page of a model as bench was given it, MODEL or MODEL:VARIANT: its path, else
// the last part of it. A model that is not on the page keeps that.
func (c *collection) modelOfSpeed(given string) string {
	if given == "" {
		return ""
	}
	path, variant, _, _ := splitModel(given, "", "")
	abs, _ := filepath.Abs(path) // fails where there is no working directory
	for _, m := range c.models {
		if own, err := filepath.Abs(m.Path); err == nil && own == abs && m.variant == variant {
			return m.Name
		}
	}
	for _, m := range c.models {
		if modelBase(m.Path) == modelBase(path) && m.variant == variant {
			return m.Name
		}
	}
	name := modelBase(path)
	if variant != "" {
		name += ":" + variant
	}
	return name
}

// addLog collects a training log.
func (c *collection) addLog(path string) error {
	if c.repeated(path) {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read training log: %w", err)
	}
	defer f.Close()
	t := report.Training{Name: modelBase(filepath.Dir(path))}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		var line struct {
			report.TrainStep
			Metrics map[string]float64 `json:"metrics"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("read training log %q: line %d: %w", path, n, err)
		}
		if line.Metrics != nil {
			t.Evaluations = append(t.Evaluations, report.Evaluation{Step: line.Step, Metrics: line.Metrics})
		} else {
			t.Steps = append(t.Steps, line.TrainStep)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read training log %q: %w", path, err)
	}
	if len(t.Steps)+len(t.Evaluations) > 0 {
		c.training = append(c.training, t)
	}
	return nil
}
