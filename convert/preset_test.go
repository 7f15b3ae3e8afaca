package convert

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestPresets(t *testing.T) {
	archs := map[string]bool{}
	for _, a := range Archs() {
		archs[a.Name] = true
	}
	seen := map[string]bool{}
	for _, p := range presets {
		for _, name := range append([]string{p.Name}, p.Models...) {
			if found, err := PresetNamed(strings.ToUpper(name)); err != nil || found != p {
				t.Errorf("%s: found %v by %q, %v", p.Name, found, name, err)
			}
		}
		if seen[p.Name] || len(p.Models) == 0 || p.Doc == "" || p.Reference == "" {
			t.Errorf("%s: it stands twice or lacks something", p.Name)
		}
		seen[p.Name] = true
		if !archs[p.Arch] {
			t.Errorf("%s: architecture %q", p.Name, p.Arch)
		}
		if _, err := poolingMode(p.Pooling); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		if p.Similarity != "cosine" && p.Similarity != "dot" || p.Normalize != (p.Similarity == "cosine") {
			t.Errorf("%s: similarity %q, normalized %t", p.Name, p.Similarity, p.Normalize)
		}
		if p.QueryMaxLength > p.MaxLength || p.DocumentMaxLength > p.MaxLength || p.QueryMaxLength < 1 || p.DocumentMaxLength < 1 {
			t.Errorf("%s: lengths %d, %d, %d", p.Name, p.MaxLength, p.QueryMaxLength, p.DocumentMaxLength)
		}
		if (p.Example != "") != strings.Contains(p.Query, ExamplesPlace) {
			t.Errorf("%s: a form for examples and no place, or a place and no form", p.Name)
		}
		if _, _, err := (Prompting{Query: p.Query, Document: p.Document}).Texts(); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
	if len(presets) != 8 {
		t.Errorf("%d presets", len(presets))
	}
	if _, err := PresetNamed("bert"); err == nil || !strings.Contains(err.Error(), "known: rocketqa-v1, rocketqa-v2, bge-large-en-v1.5") {
		t.Errorf("an unknown preset: %v", err)
	}
}

// The prompts are those of the models' own pages and code.
func TestPresetTexts(t *testing.T) {
	instruction := "Find it."
	example := Example{"Find it.", "what is a cat", "An animal."}
	for _, c := range []struct {
		preset                string
		instruction           *string
		examples              []Example
		key, prompt, role, in string // in: the suffix
	}{
		{"bge-large-en-v1.5", nil, nil, "query", "Represent this sentence for searching relevant passages: ", "query", ""},
		{"repllama-v1-7b", nil, nil, "document", "passage: ", "document", ""},
		{"nv-embed-v1", &instruction, nil, "query", "Instruct: Find it.\nQuery: ", "query", ""},
		{"qwen3-embedding-8b", nil, nil, "SciFact-query", "Instruct: Given a scientific claim, retrieve documents that support or refute the claim.\nQuery:", "query", ""},
		{"bge-en-icl", nil, nil, "query", "<instruct>Given a web search query, retrieve relevant passages that answer the query.\n<query>", "query", "\n<response>"},
		{"bge-en-icl", &instruction, []Example{example, example}, "query",
			"<instruct>Find it.\n<query>what is a cat\n<response>An animal.\n\n<instruct>Find it.\n<query>what is a cat\n<response>An animal.\n\n<instruct>Find it.\n<query>", "query", "\n<response>"},
		{"llara-passage", nil, nil, "query", `" `, "query", ` ", predict the following passage within eight words: <s9><s10><s11><s12><s13><s14><s15><s16>`},
		{"llara-passage", nil, nil, "document", `" `, "document", ` ", summarize the above passage within eight words: <s1><s2><s3><s4><s5><s6><s7><s8>`},
	} {
		p, err := PresetNamed(c.preset)
		if err != nil {
			t.Fatal(err)
		}
		prompts, suffixes, err := Prompting{Query: p.Query, Document: p.Document, Instruction: c.instruction, Examples: c.examples, ExampleForm: p.Example}.Texts()
		if err != nil || prompts[c.key] != c.prompt || suffixes[c.role] != c.in {
			t.Errorf("%s, %s: %q and %q, %v", c.preset, c.key, prompts[c.key], suffixes[c.role], err)
		}
		if keys := slices.Collect(maps.Keys(prompts)); c.instruction != nil && len(keys) != 2 {
			t.Errorf("%s: prompts %q with one instruction for all tasks", c.preset, keys)
		}
	}
}

func TestParseTemplateRefuses(t *testing.T) {
	for template, want := range map[string]string{
		"query: ":              `template "query: " has 0 times {text}`,
		"{text} {text}":        "has 2 times {text}",
		"{task} {text}":        "unknown placeholder {task}; known: {text}, {instruction}, {examples}",
		"{text} {instruction}": "{instruction} stands behind {text}, want it before",
	} {
		if _, err := ParseTemplate(template); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", template, err, want)
		}
	}
	if _, _, err := (Prompting{Document: "passage"}).Texts(); err == nil {
		t.Error("a document's template without {text}")
	}
}
