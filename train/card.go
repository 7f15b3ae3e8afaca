//go:build !lite

package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"
)

// card is what a model's README.md is written from.
type card struct {
	Model    Model
	Options  Options
	Result   *Result
	Sources  []cardSource
	Versions map[string]string
	First    *StepLine // of the log; nil where there is none
	Last     *StepLine
}

// cardSource is a file of training data.
type cardSource struct {
	Name string
	Rows int
}

// hubName matches what can be a model's name on the Hugging Face hub: a path is not one.
var hubName = regexp.MustCompile(`^[\w.-]+/[\w.-]+$`)

// cardTemplate is a Hugging Face model card: metadata in YAML, whose strings are written as JSON's, then Markdown.
var cardTemplate = template.Must(template.New("card").Funcs(template.FuncMap{
	"json":    func(v any) (string, error) { raw, err := json.Marshal(v); return string(raw), err },
	"row":     markdownRow,
	"seconds": func(d time.Duration) time.Duration { return d.Round(time.Second) },
}).Parse(`---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags:
- sentence-transformers
- sentence-similarity
- feature-extraction
- dense
- generated_from_trainer
{{- if .Base}}
base_model: {{json .Base}}
{{- end}}
---

# {{.Title}}

A text-embedding model fine-tuned from {{.Origin}} by graft. It maps texts to vectors of {{.Model.Dim}} features; a query and
a passage that answers it are close.

## Training

- Objective: {{.Result.Objective}}
- Parameters: {{.Result.Trainable}} of {{.Result.Parameters}} trained ({{.Options.FineTuneType}})
- Steps: {{.Result.Steps}}, epochs: {{printf "%.3g" .Result.Epochs}}, time: {{seconds .Result.Elapsed}}
{{- if .Result.Stopped}}
- Ended early: {{.Result.Stopped}}
{{- end}}

### Data

| file | rows |
|---|---|
{{- range .Sources}}
{{row .Name .Rows}}
{{- end}}

### Settings

| flag | value |
|---|---|
{{- range .Settings}}
{{row .Flag .Value}}
{{- end}}
{{with .First}}
### Curve

| | step | loss | gradient norm | learning rate |
|---|---|---|---|---|
{{row "first" .Step .Loss .GradNorm .LearningRate}}
{{- with $.Last}}
{{row "last" .Step .Loss .GradNorm .LearningRate}}
{{- end}}

The mean loss of the last tenth of the steps is {{printf "%.4g" $.Result.MeanLoss}}. Every step is in train_log.jsonl.
{{end}}
{{- if .Metrics}}
## Evaluation

|{{range .Columns}} {{.}} |{{end}}
|{{range .Columns}}---|{{end}}
{{- range .Metrics}}
|{{range .}} {{.}} |{{end}}
{{- end}}
{{end}}
## Versions
{{range $name, $version := .Versions}}
- {{$name}} {{$version}}
{{- end}}
`))

// markdownRow is a row of a Markdown table.
func markdownRow(cells ...any) string {
	var b strings.Builder
	b.WriteString("|")
	for _, c := range cells {
		text := fmt.Sprint(c)
		if f, ok := c.(float64); ok {
			text = fmt.Sprintf("%.4g", f)
		}
		text = strings.NewReplacer("|", `\|`, "\n", " ", "\r", " ").Replace(text)
		b.WriteString(" " + text + " |")
	}
	return b.String()
}

// write renders the card.
func (c card) write() ([]byte, error) {
	var b bytes.Buffer
	if err := cardTemplate.Execute(&b, c); err != nil {
		return nil, fmt.Errorf("write model card: %w", err)
	}
	return b.Bytes(), nil
}

// Title is the model's name: that of its folder.
func (c card) Title() string {
	path, err := filepath.Abs(c.Options.OutputDir)
	if err != nil {
		path = c.Options.OutputDir
	}
	return filepath.Base(path)
}

// Base is the model that was trained, where it has a name on the hub.
func (c card) Base() string {
	name, _, _ := strings.Cut(strings.TrimPrefix(c.Model.Name, "hf:"), "@")
	if strings.HasPrefix(c.Model.Name, "hf:") && hubName.MatchString(name) {
		return name
	}
	return ""
}

// Origin names the model that was trained, without the path to it on this machine.
func (c card) Origin() string {
	if base := c.Base(); base != "" {
		return fmt.Sprintf("[%s](https://huggingface.co/%s)", base, base)
	}
	name := filepath.Base(c.Model.Name)
	if c.Model.Arch != "" {
		return fmt.Sprintf("%s (%s)", name, c.Model.Arch)
	}
	return name
}

// setting is a flag as it was.
type setting struct {
	Flag  string
	Value any
}

// Settings lists what shaped the run.
func (c card) Settings() []setting {
	o := c.Options
	list := []setting{
		{"objective", o.objectiveName()}, {"temperature", o.Temperature}, {"train-group-size", o.TrainGroupSize},
		{"per-device-train-batch-size", o.PerDeviceTrainBatchSize}, {"gradient-accumulation-steps", o.GradientAccumulationSteps},
		{"grad-cache-chunk", o.GradCacheChunk}, {"query-max-len", o.QueryMaxLen}, {"passage-max-len", o.PassageMaxLen},
		{"query-instruction-for-retrieval", o.QueryInstruction}, {"passage-instruction-for-retrieval", o.PassageInstruction},
		{"sentence-pooling-method", o.SentencePoolingMethod}, {"normalized", o.Normalized},
		{"learning-rate", o.LearningRate}, {"lr-scheduler-type", o.LRSchedulerType}, {"warmup-steps", o.WarmupSteps},
		{"warmup-ratio", o.WarmupRatio}, {"weight-decay", o.WeightDecay}, {"max-grad-norm", o.MaxGradNorm}, {"seed", o.Seed},
		{"bf16", o.BF16}, {"fp16", o.FP16}, {"float32-matmul-precision", o.Float32MatmulPrecision}, {"parity", o.Parity},
	}
	if o.QuerySuffix+o.PassageSuffix != "" {
		list = append(list, setting{"query's suffix", o.QuerySuffix}, setting{"passage's suffix", o.PassageSuffix})
	}
	if o.objectiveName() == "in-batch" {
		list = append(list, setting{"margin", o.Margin})
	}
	if o.UseMatryoshka {
		list = append(list, setting{"matryoshka-dims", o.MatryoshkaDims}, setting{"matryoshka-loss-weights", o.MatryoshkaLossWeights})
	}
	if o.Distill != "" {
		list = append(list, setting{"distill", o.Distill})
		if o.Teacher != "" {
			list = append(list, setting{"teacher", filepath.Base(o.Teacher)})
		}
	}
	if o.FineTuneType == "lora" {
		list = append(list, setting{"lora-rank", o.LoraRank}, setting{"lora-alpha", o.LoraAlpha}, setting{"lora-dropout", o.LoraDropout})
	}
	return list
}

// Columns heads the table of evaluations: when, then the metrics.
func (c card) Columns() []string {
	names := map[string]bool{}
	for _, e := range c.Result.Evaluations {
		for name := range e.Metrics {
			names[name] = true
		}
	}
	return append([]string{"steps"}, slices.Sorted(maps.Keys(names))...)
}

// Metrics is the table of evaluations: before training, the best, the last.
func (c card) Metrics() [][]string {
	all := c.Result.Evaluations
	var table [][]string
	for i, e := range all {
		label := fmt.Sprint(e.Step)
		switch {
		case e.Step == 0:
			label = "before training"
		case e.Step == c.Result.BestStep:
			label += " (best)"
		case i < len(all)-1:
			continue
		}
		row := []string{label}
		for _, name := range c.Columns()[1:] {
			cell := ""
			if v, ok := e.Metrics[name]; ok {
				cell = fmt.Sprintf("%.5f", v)
			}
			row = append(row, cell)
		}
		table = append(table, row)
	}
	return table
}
