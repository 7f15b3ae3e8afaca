package main

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/urfave/cli/v2"

	"graft/convert"
	"graft/lines"
)

// presetOptions say as which published system a model is run, and what stands around its texts. They are the flags that train, export, eval
// and embed share. Any other flag wins over what the preset says.
type presetOptions struct {
	name        string
	instruction *string
	query       string // template
	document    string // template
	examples    string // file

	*convert.Preset        // found by settle; nil: none
	examplesText    string // what stands before each query, read by settle
}

func (o *presetOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "preset", Destination: &o.name, Usage: "run MODEL as a published system is run: " + presetNames()},
		&cli.GenericFlag{Name: "instruction", Value: &optionalString{&o.instruction}, Usage: "`TEXT` for {instruction} in a template (default: each task's own)"},
		&cli.StringFlag{Name: "query-template", Destination: &o.query, Usage: "what stands around a query: {text} once, and before it {instruction} and {examples} where they are wanted"},
		&cli.StringFlag{Name: "document-template", Destination: &o.document, Usage: "what stands around a document: {text} once"},
		&cli.StringFlag{Name: "examples", Destination: &o.examples, Usage: "`FILE` of lines {\"instruct\", \"query\", \"response\"} for {examples} in a template"},
	}
}

func presetNames() string {
	return listed(convert.Presets(), func(p *convert.Preset) string { return p.Name })
}

// settle puts into open what the preset and the templates say and open does not.
func (o *presetOptions) settle(open *convert.OpenOptions) error {
	p := convert.Prompting{Query: o.query, Document: o.document, Instruction: o.instruction}
	if o.name != "" {
		var err error
		if o.Preset, err = convert.PresetNamed(o.name); err != nil {
			return usageError{err}
		}
		if p.Query == "" {
			p.Query, p.ExampleForm = o.Query, o.Example
		}
		if p.Document == "" {
			p.Document = o.Document
		}
		*open = o.Fill(*open)
	}
	if err := o.check(p); err != nil {
		return err
	}
	var err error
	if p.Examples, err = readExamples(o.examples); err != nil {
		return err
	}
	o.examplesText = p.ExamplesText()
	prompts, suffixes, err := p.Texts()
	if err != nil {
		return usageError{err}
	}
	for role := range open.Prompts { // a prompt that was given stands for all tasks
		maps.DeleteFunc(prompts, func(key, _ string) bool { return strings.HasSuffix(key, "-"+role) })
	}
	maps.Copy(prompts, open.Prompts)
	maps.Copy(suffixes, open.Suffixes)
	open.Prompts, open.Suffixes = prompts, suffixes
	return nil
}

// check refuses flags for which the query's template has no place.
func (o *presetOptions) check(p convert.Prompting) error {
	for _, f := range []struct {
		flag, place string
		given       bool
	}{
		{"instruction", convert.InstructionPlace, o.instruction != nil}, {"examples", convert.ExamplesPlace, o.examples != ""},
	} {
		switch {
		case !f.given || strings.Contains(p.Query, f.place):
		case p.Query == "":
			return withHint(usagef("--%s: no template says where it stands", f.flag), "add --preset NAME, or --query-template with "+f.place+" in it")
		default:
			return usagef("--%s: the query's template %q has no %s", f.flag, p.Query, f.place)
		}
	}
	return nil
}

// readExamples reads a file of examples; none where path is empty.
func readExamples(path string) ([]convert.Example, error) {
	if path == "" {
		return nil, nil
	}
	var list []convert.Example
	for l, err := range lines.Read(path, nil) {
		if err != nil {
			return nil, fmt.Errorf("read examples: %w", err)
		}
		if l.Blank() {
			continue
		}
		var e convert.Example
		err := lines.Unmarshal(l.Text, &e)
		if err == nil && (e.Query == "" || e.Response == "") {
			err = errors.New("it lacks query or response")
		}
		if err != nil {
			return nil, fmt.Errorf("read examples: %w", lines.At(path, l.Number, err))
		}
		list = append(list, e)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("read examples: %s: no examples", path)
	}
	return list, nil
}

// takeInstruction settles the reference's --query_instruction: for NV-Embed it is the instruction alone, for other models all that stands
// before a query.
func (o *evalOptions) takeInstruction() {
	p := &o.encoder.preset
	template := p.query
	if found, err := convert.PresetNamed(p.name); err == nil && template == "" {
		template = found.Query
	}
	switch {
	case o.queryInstruction == nil:
	case strings.Contains(template, convert.InstructionPlace):
		p.instruction = o.queryInstruction
	case o.queryPrompt == nil:
		o.queryPrompt = o.queryInstruction
	}
}

// takePreset settles what train leaves open: the pooling, the templates, the special tokens, and whether vectors have length 1. The longest
// texts are train's own, because batches are made for them.
func (o *trainOptions) takePreset() error {
	if err := o.preset.settle(&o.open); err != nil {
		return err
	}
	if _, given := o.given["normalized"]; o.preset.Preset != nil && !given {
		o.train.Normalized = o.preset.Normalize
	}
	return nil
}
