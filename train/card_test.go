//go:build !lite

package train

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The card begins with metadata that is YAML whatever the model is called, and names no path of this machine.
func TestCard(t *testing.T) {
	for _, c := range []struct{ name, base, origin string }{
		{"hf:sentence-transformers/all-MiniLM-L6-v2@main", "sentence-transformers/all-MiniLM-L6-v2",
			"[sentence-transformers/all-MiniLM-L6-v2](https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2)"},
		{"/home/somebody/models/bert", "", "bert (bert)"},
		{"hf:a/b/c: d", "", "c: d (bert)"},
	} {
		o := DefaultOptions()
		o.OutputDir, o.QueryInstruction = "/home/somebody/out", "find | a\npassage: "
		text, err := card{Model: Model{Name: c.name, Arch: "bert", Dim: 32}, Options: o, Result: &Result{Objective: "softmax"}}.write()
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.SplitN(string(text), "---\n", 3)
		if len(parts) != 3 || parts[0] != "" {
			t.Fatalf("no front matter:\n%s", text)
		}
		var head struct {
			Library string `yaml:"library_name"`
			Base    string `yaml:"base_model"`
			Tags    []string
		}
		if err := yaml.Unmarshal([]byte(parts[1]), &head); err != nil {
			t.Fatal(err)
		}
		if head.Library != "sentence-transformers" || head.Base != c.base || len(head.Tags) != 5 {
			t.Errorf("%s: metadata %+v", c.name, head)
		}
		for _, want := range []string{"# out\n", "fine-tuned from " + c.origin, `| query-instruction-for-retrieval | find \| a passage:  |`} {
			if !strings.Contains(parts[2], want) {
				t.Errorf("%s: the card lacks %q:\n%s", c.name, want, parts[2])
			}
		}
		if strings.Contains(string(text), "somebody") {
			t.Errorf("%s: the card names a path of this machine:\n%s", c.name, text)
		}
	}
}
