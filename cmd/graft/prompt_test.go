package main

import (
	"testing"

	"graft/convert"
	"graft/evaluate"
)

// TestTaskEncoderPrompts: a prompt that is asked for wins, the empty one too; else the model's own.
func TestTaskEncoderPrompts(t *testing.T) {
	e := &encoder{model: &convert.Model{}}
	e.model.Modules.Prompts = map[string]string{"query": "query: ", "passage": "passage: ", "SciFact-query": "claim: "}
	task := func(name string) evaluate.Task { task, _ := evaluate.FindTask(name); return task }
	o := &evalOptions{maxLength: 100, docMax: 50}
	for name, want := range map[string][2]string{"SciFact": {"claim: ", "passage: "}, "NFCorpus": {"query: ", "passage: "}} {
		got := o.taskEncoder(task(name), e, e)
		if got.prompt[evaluate.QueryRole] != want[0] || got.prompt[evaluate.DocumentRole] != want[1] {
			t.Errorf("%s: prompts %q, want %q", name, got.prompt, want)
		}
		if got.length[evaluate.QueryRole] != 100 || got.length[evaluate.DocumentRole] != 50 {
			t.Errorf("%s: lengths %v", name, got.length)
		}
	}
	empty, own := "", "ask: "
	o.queryPrompt, o.documentPrompt = &own, &empty
	if got := o.taskEncoder(task("SciFact"), e, e).prompt; got[evaluate.QueryRole] != "ask: " || got[evaluate.DocumentRole] != "" {
		t.Errorf("asked for %q and nothing: %q", own, got)
	}
}

func TestModelMetaName(t *testing.T) {
	for path, want := range map[string]string{"hf:org/name@v1": "org/name", "some/dir/minilm": "graft/minilm", "some/dir/model.onnx": "graft/model"} {
		if got := modelName(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}
