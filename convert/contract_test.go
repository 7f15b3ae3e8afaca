package convert_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"graft/convert"
	"graft/graph"
)

// Every model takes and gives what the program relies on, and is a valid graph whose types are
// known from end to end.
func TestContract(t *testing.T) {
	typed := []string{"bert", "electra", "ernie", "ernie-notask", "nomic-bert", "gte", "albert", "deberta-v2-input", "jina-bert", "jina-bert-code", "jina-bert-original"} // those with token types
	for _, dir := range fixtures(t) {
		name := filepath.Base(dir)
		t.Run(name, func(t *testing.T) {
			m, err := convert.Open(dir, convert.OpenOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			want := []string{"input_ids INT64[batch sequence]", "attention_mask INT64[batch sequence]"}
			if slices.Contains(typed, name) {
				want = append(want, "token_type_ids INT64[batch sequence]")
			}
			if m.Modules.PromptPooling != convert.PromptPooled {
				want = append(want, "pooling_mask INT64[batch sequence]")
			}
			if got := describe(m.Graph.Graph.Inputs); !slices.Equal(got, want) {
				t.Errorf("inputs %q, want %q", got, want)
			}
			want = []string{"last_hidden_state FLOAT[batch sequence 32]", "sentence_embedding FLOAT[batch 32]"}
			if got := describe(m.Graph.Graph.Outputs); !slices.Equal(got, want) {
				t.Errorf("outputs %q, want %q", got, want)
			}
			if err := graph.Check(m.Graph); err != nil {
				t.Error(err)
			}
			if err := graph.Infer(m.Graph); err != nil {
				t.Error(err)
			}
			for _, n := range m.Graph.Graph.Nodes {
				for _, v := range n.Outputs {
					if v.DType() == graph.Undefined || v.Shape() == nil {
						t.Errorf("node %q (%s): type %v", n.Name, n.Op, v)
					}
				}
			}
			if len(m.Modules.Pooling) == 0 || m.Modules.MaxLength < 24 || m.Dim != 32 || m.Sizes.Hidden != 32 || m.Arch == nil {
				t.Errorf("model %+v", m)
			}
		})
	}
}

func describe(values []*graph.Value) []string {
	var list []string
	for _, v := range values {
		list = append(list, fmt.Sprintf("%s %v", v.Name, v.Type))
	}
	return list
}

// The graph's weights keep the checkpoint's names; those of a tied embedding appear once.
func TestWeightNames(t *testing.T) {
	for name, want := range map[string]string{
		"bert": "encoder.layer.2.output.dense.weight", "roberta": "roberta.encoder.layer.2.output.dense.weight",
		"qwen2": "model.layers.1.self_attn.q_proj.bias", "nomic-bert": "encoder.layers.0.attn.Wqkv.weight", "gte-new": "new.encoder.layer.0.attention.qkv_proj.weight",
	} {
		m, err := convert.Open(filepath.Join("../testdata/models", name), convert.OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if m.Graph.Graph.Initializer(want) == nil {
			t.Errorf("%s: no initializer %q", name, want)
		}
		tables := 0
		for _, v := range m.Graph.Graph.Initializers {
			if len(v.Init.Shape) == 2 && v.Init.Shape[0] == int64(m.Sizes.Vocab) {
				tables++
			}
		}
		if tables != 1 {
			t.Errorf("%s: %d tables of the vocabulary", name, tables)
		}
	}
}
