package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"graft/convert"
	"graft/graph"
	"graft/graph/pass"
	"graft/report"
)

// foundModel is a model of a report, or a variant of one.
type foundModel struct {
	report.Model
	variant string
	hashes  []string       // of its ONNX file, of its checkpoint, and as otherHashes says
	history []convert.Step // all of it
	own     []convert.Step // what its parent does not have
	parent  *foundModel
}

// addModel collects a model directory, with its variants and its training log, or a bare ONNX file.
func (c *collection) addModel(path string) error {
	if c.repeated(path) {
		return nil
	}
	variants := []string{""}
	files, err := filepath.Glob(filepath.Join(path, "onnx", "model_*.onnx"))
	if err != nil {
		return err
	}
	for _, f := range files {
		variants = append(variants, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), "model_"), ".onnx"))
	}
	for _, v := range variants {
		m, err := openForReport(path, v)
		if err != nil {
			return err
		}
		c.models = append(c.models, m)
	}
	if log := filepath.Join(path, "train_log.jsonl"); fileExists(log) {
		return c.addLog(log)
	}
	return nil
}

// openForReport reads what a report says of a model.
func openForReport(path, variant string) (*foundModel, error) {
	m, err := convert.Open(path, convert.OpenOptions{ONNX: true, Variant: variant})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	found := &foundModel{Model: report.Model{Path: path}, variant: variant}
	hash, err := m.Hash()
	if err != nil {
		return nil, err
	}
	found.hashes = append([]string{hash}, otherHashes(m, variant)...)
	for _, s := range m.Steps {
		if s.Variant == "" || s.Variant == variant {
			found.history = append(found.history, s)
		}
	}
	found.Bytes = weightBytes(m, onnxFileOf(path, variant))
	census := graph.TakeCensus(m.Graph.Graph)
	found.Parameters, found.Precision = census.Parameters, storedAs(census)
	if _, err := pass.Raise(m.Graph); err == nil {
		if layers, err := graph.Layers(m.Graph); err == nil {
			found.Layers = len(layers)
		}
	}
	return found, nil
}

// otherHashes are those by which other commands know a model: of its checkpoint, where there is one, and of what train
// reads, which is without normalization.
func otherHashes(m *convert.Model, variant string) []string {
	if variant != "" {
		return nil
	}
	var hashes []string
	for _, o := range []convert.OpenOptions{{}, {Unnormalized: true}} {
		other, err := convert.Open(m.Path, o)
		if err != nil {
			continue // of a form that those commands do not read
		}
		if hash, err := other.Hash(); err == nil && !slices.Contains(hashes, hash) {
			hashes = append(hashes, hash)
		}
		other.Close()
	}
	return hashes
}

// onnxFileOf is the ONNX file of a model, "" where there is none.
func onnxFileOf(path, variant string) string {
	if strings.EqualFold(filepath.Ext(path), ".onnx") {
		return path
	}
	if file := onnxPath(path, variant); fileExists(file) {
		return file
	}
	return ""
}

// weightBytes is the size of the files that hold a model's weights: the ONNX file's, else the checkpoint's.
func weightBytes(m *convert.Model, file string) (n int64) {
	files := []string{file, file + ".data", file + "_data"}
	if file == "" {
		files = nil
		for _, pattern := range []string{"*.safetensors", "pytorch_model*.bin"} {
			found, _ := filepath.Glob(filepath.Join(m.Dir, pattern)) // fails on a bad pattern alone
			if files = append(files, found...); len(found) > 0 {
				break
			}
		}
	}
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			n += info.Size()
		}
	}
	return n
}

// storedAs are the element types that hold at least a hundredth of the weights, the most first.
func storedAs(c graph.Census) string {
	slices.SortStableFunc(c.DTypes, func(a, b graph.DTypeCount) int { return cmp.Compare(b.Bytes, a.Bytes) })
	var names []string
	for _, d := range c.DTypes {
		if d.Bytes*100 >= c.Bytes {
			names = append(names, d.DType.String())
		}
	}
	return strings.Join(names, ", ")
}

// nameModels names models after their folders, and by their paths where two have one name.
func (c *collection) nameModels() {
	count := map[string]int{}
	for _, m := range c.models {
		count[modelBase(m.Path)+":"+m.variant]++
	}
	for _, m := range c.models {
		m.Name = modelBase(m.Path)
		if count[m.Name+":"+m.variant] > 1 {
			m.Name = m.Path
		}
		if m.variant != "" {
			m.Name += ":" + m.variant
		}
	}
}

// modelBase is the last part of a model's path, without the ending of an ONNX file.
func modelBase(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return strings.TrimSuffix(filepath.Base(path), ".onnx")
}

// linkModels finds what each model was made from: the model with the longest part of its history, else the
// one whose hash its first step names.
func (c *collection) linkModels() {
	for _, m := range c.models {
		longest := 0
		for _, p := range c.models {
			if n := len(p.history); p != m && n > longest && n < len(m.history) && sameSteps(p.history, m.history[:n]) {
				m.parent, longest = p, n
			}
		}
		if m.own = m.history[longest:]; m.parent != nil || len(m.own) == 0 {
			continue
		}
		for _, p := range c.models {
			if p != m && slices.Contains(p.hashes, m.own[0].Parent) && !p.descends(m) {
				m.parent = p
				break
			}
		}
	}
	for _, m := range c.models {
		if m.parent != nil {
			m.Parent = m.parent.Name
		}
	}
}

// descends reports whether m was made from another model, directly or not.
func (m *foundModel) descends(other *foundModel) bool {
	for p := m.parent; p != nil; p = p.parent {
		if p == other {
			return true
		}
	}
	return false
}

func sameSteps(a, b []convert.Step) bool {
	x, _ := json.Marshal(a) // read from JSON before
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

// sortModels puts each model after the one that it was made from, and otherwise leaves the order in which they were found.
func (c *collection) sortModels() {
	var sorted []*foundModel
	var put func(parent *foundModel)
	put = func(parent *foundModel) {
		for _, m := range c.models {
			if m.parent == parent {
				sorted = append(sorted, m)
				put(m)
			}
		}
	}
	put(nil)
	c.models = sorted
}

// hiddenSettings are options that say nothing to a reader, and changes that have a part of the page to themselves.
var hiddenSettings = []string{"data-hash", "teacher-hash", "cache-dir", "layers", "weights_before", "bytes_before"}

// show fills the steps that are shown.
func (m *foundModel) show() {
	for _, s := range m.own {
		m.Steps = append(m.Steps, report.Step{Command: s.Command, Settings: settings(s.Options), Changes: settings(s.Changes)})
	}
}

func settings(options map[string]any) []report.Setting {
	var list []report.Setting
	for _, key := range slices.Sorted(maps.Keys(options)) {
		if !slices.Contains(hiddenSettings, key) {
			list = append(list, report.Setting{Name: strings.ReplaceAll(key, "_", " "), Value: settingText(options[key])})
		}
	}
	return list
}

// settingText is a value as it is shown.
func settingText(v any) string {
	var text string
	switch v := v.(type) {
	case string:
		if text = v; filepath.IsAbs(text) { // what a machine calls its folders is nobody else's concern
			text = filepath.Base(text)
		}
	case float64:
		text = fmt.Sprintf("%.8g", v)
	default:
		raw, _ := json.Marshal(v) // read from JSON before
		text = strings.ReplaceAll(string(raw), ",", ", ")
	}
	if runes := []rune(text); len(runes) > 300 {
		text = string(runes[:300]) + " …"
	}
	return text
}
