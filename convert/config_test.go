package convert_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"graft/convert"
	"graft/graph/pass"
)

// Configs of other library versions than the fixture's say the same in other words.
func TestConfigSpellings(t *testing.T) {
	for _, test := range []struct {
		name, model string
		change      func(m map[string]any)
	}{
		{"transformers 4", "modernbert", func(m map[string]any) {
			delete(m, "rope_parameters")
			delete(m, "layer_types")
			m["global_rope_theta"], m["local_rope_theta"], m["global_attn_every_n_layers"] = 160000.0, 10000.0, 3
		}},
		{"transformers 4", "gemma3-text", func(m map[string]any) {
			delete(m, "rope_parameters")
			delete(m, "layer_types")
			m["rope_theta"], m["rope_local_base_freq"], m["sliding_window_pattern"] = 1e6, 1e4, 2
		}},
		{"transformers 4", "qwen3", func(m map[string]any) {
			delete(m, "rope_parameters")
			delete(m, "layer_types")
			m["rope_theta"], m["rope_scaling"] = 1e6, nil
		}},
		{"transformers 5", "llama-rope-llama3", func(m map[string]any) {
			p := m["rope_scaling"].(map[string]any)
			p["rope_theta"] = m["rope_theta"]
			m["rope_parameters"] = p
			delete(m, "rope_scaling")
			delete(m, "rope_theta")
		}},
		{"before transformers 4.43", "llama-rope-linear", func(m map[string]any) {
			m["rope_scaling"] = map[string]any{"type": "linear", "factor": 4.0}
		}},
		{"by a rule on places", "smollm3", func(m map[string]any) {
			delete(m, "no_rope_layers")
			delete(m, "layer_types")
		}},
		{"transformers 5", "phi3-longrope", func(m map[string]any) {
			p := m["rope_scaling"].(map[string]any)
			p["rope_type"], p["rope_theta"], p["partial_rotary_factor"] = "longrope", m["rope_theta"], m["partial_rotary_factor"]
			m["rope_parameters"] = p
			for _, key := range []string{"rope_scaling", "rope_theta", "partial_rotary_factor"} {
				delete(m, key)
			}
		}},
		{"its first name of longrope", "phi3-longrope", func(m map[string]any) {
			m["rope_scaling"].(map[string]any)["type"] = "su"
		}},
		{"the original code", "nomic-bert", func(m map[string]any) {
			for _, key := range []string{"hidden_size", "num_attention_heads", "num_hidden_layers", "intermediate_size",
				"max_position_embeddings", "layer_norm_eps", "rope_parameters", "hidden_act", "head_dim"} {
				delete(m, key)
			}
			m["n_embd"], m["n_head"], m["n_layer"], m["n_inner"], m["n_positions"] = 32, 4, 3, 64, 64
			m["layer_norm_epsilon"], m["rotary_emb_base"], m["rotary_emb_fraction"], m["activation_function"] = 1e-12, 1000, 1.0, "swiglu"
		}},
		{"a decoder that looks both ways", "mistral", func(m map[string]any) {
			m["is_causal"], m["sliding_window"] = false, nil
		}},
	} {
		t.Run(test.model+"/"+test.name, func(t *testing.T) {
			dir := copyModel(t, test.model)
			edit(t, filepath.Join(dir, "config.json"), test.change)
			e := readExpected(t, dir)
			b := e.batch(t, "right")
			want := "right.last_hidden_state"
			if e.has("bidir.last_hidden_state") {
				want = "bidir.last_hidden_state"
			}
			out := run(t, session(t, lowered(t, dir, convert.OpenOptions{}, pass.LowerOptions{})), b)
			e.near(t, want, b.real(out["last_hidden_state"]), b.real(e.floats(t, want)))
		})
	}
}

// Configs that say what no fixture's does mean what the library makes of them.
func TestConfigVariants(t *testing.T) {
	raw, err := os.ReadFile("../testdata/models/variants.json")
	if err != nil {
		t.Fatal(err)
	}
	var variants []struct {
		Model  string
		Change map[string]any
		Remove []string
		Mean   [][]float32 // over the real tokens of each text
	}
	if err := json.Unmarshal(raw, &variants); err != nil || len(variants) == 0 {
		t.Fatalf("%d variants: %v", len(variants), err)
	}
	unnormalized := false
	for _, v := range variants {
		t.Run(fmt.Sprint(v.Model, v.Change), func(t *testing.T) {
			dir := copyModel(t, v.Model)
			edit(t, filepath.Join(dir, "config.json"), func(m map[string]any) {
				maps.Copy(m, v.Change)
				for _, key := range v.Remove {
					delete(m, key)
				}
			})
			e := readExpected(t, dir)
			s := session(t, lowered(t, dir, convert.OpenOptions{Pooling: "mean", Normalize: &unnormalized}, pass.LowerOptions{}))
			e.near(t, "mean", run(t, s, e.batch(t, "right").zeroTypes())["sentence_embedding"].data, slices.Concat(v.Mean...))
		})
	}
}
