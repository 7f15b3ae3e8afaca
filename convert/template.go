package convert

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Template is what stands around a text when it is given to a model. What stands before it is a prompt in the sense of
// sentence-transformers; what stands behind it is kept when the text is cut to the longest length.
type Template struct{ Before, After string }

// The placeholders of a template: the text, the instruction of the task, and worked examples of the task.
const (
	textPlace        = "{text}"
	InstructionPlace = "{instruction}"
	ExamplesPlace    = "{examples}"
)

// placeholder is what looks like one.
var placeholder = regexp.MustCompile(`\{[a-z_]+\}`)

// ParseTemplate reads a template: a text with {text} once in it, and {instruction} and {examples} where they are wanted.
func ParseTemplate(s string) (Template, error) {
	if n := strings.Count(s, textPlace); n != 1 {
		return Template{}, fmt.Errorf("template %q has %d times %s, want it once, where the text is put", s, n, textPlace)
	}
	for _, p := range placeholder.FindAllString(s, -1) {
		if !slices.Contains([]string{textPlace, InstructionPlace, ExamplesPlace}, p) {
			return Template{}, fmt.Errorf("template %q: unknown placeholder %s; known: %s, %s, %s", s, p, textPlace, InstructionPlace, ExamplesPlace)
		}
	}
	before, after, _ := strings.Cut(s, textPlace)
	if p := placeholder.FindString(after); p != "" {
		return Template{}, fmt.Errorf("template %q: %s stands behind %s, want it before", s, p, textPlace)
	}
	return Template{before, after}, nil
}

// Has reports whether a placeholder stands in the template.
func (t Template) Has(place string) bool { return strings.Contains(t.Before, place) }

// with is what stands before the text, with an instruction and examples in their places.
func (t Template) with(instruction, examples string) string {
	return strings.NewReplacer(InstructionPlace, instruction, ExamplesPlace, examples).Replace(t.Before)
}

// Example is a query with its instruction and a good answer, which a model that learns in context reads before the query.
type Example struct {
	Instruct string `json:"instruct"`
	Query    string `json:"query"`
	Response string `json:"response"`
}

// Prompting is what a preset, or the user in its place, puts around texts.
type Prompting struct {
	Query, Document string    // templates; "": the model's own prompt stays
	Instruction     *string   // for every task; nil: each task's own
	Examples        []Example // of the task
	ExampleForm     string    // of an example, with {instruction}, {query} and {response}
}

// Texts are a model's prompts and suffixes: by role, and by task and role ("SciFact-query") where each task has an instruction of its own.
func (p Prompting) Texts() (prompts, suffixes map[string]string, err error) {
	prompts, suffixes = map[string]string{}, map[string]string{}
	examples := p.ExamplesText()
	for role, s := range map[string]string{"query": p.Query, "document": p.Document} {
		if s == "" {
			continue
		}
		t, err := ParseTemplate(s)
		if err != nil {
			return nil, nil, err
		}
		instruction := defaultInstruction
		if p.Instruction != nil {
			instruction = *p.Instruction
		}
		prompts[role], suffixes[role] = t.with(instruction, examples), t.After
		if p.Instruction != nil || !t.Has(InstructionPlace) {
			continue
		}
		for task, instruction := range instructions {
			prompts[task+"-"+role] = t.with(instruction, examples)
		}
	}
	return prompts, suffixes, nil
}

// ExamplesText is what stands for {examples}: each in the form, and a blank line after it (Li et al. 2025, bge-en-icl).
func (p Prompting) ExamplesText() string {
	var b strings.Builder
	for _, e := range p.Examples {
		b.WriteString(strings.NewReplacer(InstructionPlace, e.Instruct, "{query}", e.Query, "{response}", e.Response).Replace(p.ExampleForm))
		b.WriteString("\n\n")
	}
	return b.String()
}
