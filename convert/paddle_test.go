package convert_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"graft/convert"
	"graft/graph/pass"
	"graft/runtime/tokenizer"
)

// paddleModels are the checkpoints of testdata/paddle by the model whose reference values theirs are; "": they have their own.
var paddleModels = map[string]string{
	"bert": "bert", "ernie": "ernie", "rocketqa": "", "electra": "electra", "roberta": "roberta", "xlm-roberta": "xlm-roberta",
	"llama": "llama", "llama-fused": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "nvembed": "",
}

// A Paddle checkpoint gives the hidden states that PaddleNLP computes, and what is exported of it too.
func TestPaddle(t *testing.T) {
	for name, model := range paddleModels {
		t.Run(name, func(t *testing.T) {
			from := filepath.Join("../testdata/paddle", name)
			values := from
			if model != "" {
				values = filepath.Join("../testdata/models", model)
			}
			e := readExpected(t, values)
			b := e.batch(t, "right")
			if model != "" {
				s := session(t, lowered(t, from, convert.OpenOptions{HiddenStates: true}, pass.LowerOptions{}))
				e.checkStates(t, "right", b, run(t, s, b))
			}
			dir, _ := save(t, from, convert.OpenOptions{}, convert.SaveOptions{})
			for _, path := range []string{from, dir} {
				m := open(t, path, convert.OpenOptions{})
				e.near(t, path, b.real(outputs(t, m.Graph, b)["last_hidden_state"]), b.real(e.floats(t, "right.last_hidden_state")))
			}
		})
	}
}

// What is exported of a Paddle checkpoint has the names, shapes and types of the checkpoint that it was made of.
func TestPaddleExport(t *testing.T) {
	for name, prefix := range map[string]string{"bert": "", "ernie": "ernie.", "electra": "", "llama": "", "qwen3": "model."} {
		dir, _ := save(t, filepath.Join("../testdata/paddle", name), convert.OpenOptions{}, convert.SaveOptions{NoONNX: true})
		got := stored(t, dir)
		for tensor, want := range stored(t, filepath.Join("../testdata/models", name)) {
			if got[prefix+tensor] != want {
				t.Errorf("%s: tensor %q is not that of the checkpoint", name, tensor)
			}
		}
	}
}

// PaddleNLP's WordPiece tokenizers give the ids of the model that the checkpoint was made of.
func TestPaddleTokenizer(t *testing.T) {
	for _, name := range []string{"bert", "ernie"} {
		m := open(t, filepath.Join("../testdata/paddle", name), convert.OpenOptions{})
		checkIDs(t, m.Tokenizer, filepath.Join("../testdata/models", name, "tok_expected.json"))
	}
}

// A decoder's SentencePiece tokenizer, as PaddleNLP names it, is the one that transformers has in its place.
func TestPaddlePieces(t *testing.T) {
	pieces, err := os.ReadFile("../testdata/tokenizers/slow/llama.model")
	if err != nil {
		t.Fatal(err)
	}
	var made []string
	for name, from := range map[string]string{"sentencepiece.bpe.model": "../testdata/paddle/llama", "tokenizer.model": "../testdata/models/llama"} {
		dir := copyDir(t, from)
		os.Remove(filepath.Join(dir, "tokenizer.json"))
		const config = `{"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "add_bos_token": true, "add_eos_token": false,
			"sp_model_kwargs": null, "decode_with_prefix_space": false, "added_tokens_decoder": {}, "tokenizer_class": "LlamaTokenizer"}`
		for file, content := range map[string]string{name: string(pieces), "tokenizer_config.json": config} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		file, err := os.ReadFile(open(t, dir, convert.OpenOptions{}).Tokenizer)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, string(file))
	}
	if made[0] != made[1] {
		t.Error("the tokenizers differ")
	}
}

// Longer positions in the words of PaddleNLP's config give the hidden states that PaddleNLP computes.
func TestPaddleRope(t *testing.T) {
	for _, kind := range []string{"linear", "ntk"} {
		from := "../testdata/paddle/rope-" + kind
		dir := copyDir(t, "../testdata/paddle/llama")
		config, err := os.ReadFile(filepath.Join(from, "config.json"))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "config.json"), config, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
		e := readExpected(t, from)
		b := e.batch(t, "right")
		m := open(t, dir, convert.OpenOptions{})
		e.near(t, kind, b.real(outputs(t, m.Graph, b)["last_hidden_state"]), b.real(e.floats(t, "right.last_hidden_state")))
	}
}

// NV-Embed in PaddleNLP's names: its pooling by latents, with and without tokens of a prompt left out.
func TestPaddleLatents(t *testing.T) {
	const from = "../testdata/paddle/nvembed"
	e := readExpected(t, from)
	b := e.batch(t, "right")
	m := open(t, from, convert.OpenOptions{})
	if m.Modules.PoolingName() != "latent" || !m.Modules.Normalize || len(m.Unused) > 0 {
		t.Errorf("pooling %q, normalize %v, unused %q", m.Modules.PoolingName(), m.Modules.Normalize, m.Unused)
	}
	for _, skip := range []string{"instr0", "instr2"} {
		b.pooled = e.ints(t, "right.pool_mask."+skip)
		e.near(t, skip, outputs(t, m.Graph, b)["sentence_embedding"].data, e.floats(t, "right.sentence_embedding."+skip).data)
	}
}

// checkIDs compares a tokenizer's ids with those that a file holds.
func checkIDs(t *testing.T, path, golden string) {
	t.Helper()
	raw, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		MaxLength int `json:"max_length"`
		Texts     []string
		IDs       [][]int64 `json:"input_ids"`
	}
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.FromFile(path, tokenizer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	for i, text := range want.Texts {
		e, err := tok.Encode(text, tokenizer.EncodeOptions{MaxLength: want.MaxLength})
		if err != nil {
			t.Fatal(err)
		}
		if got := oneText(e).ids.data; !slices.Equal(got, want.IDs[i]) {
			t.Errorf("%q: ids %v, want %v", text, got, want.IDs[i])
		}
	}
}

// What PaddleNLP's config leaves out is what PaddleNLP takes.
func TestPaddleDefaults(t *testing.T) {
	dir := copyDir(t, "../testdata/paddle/ernie")
	edit(t, filepath.Join(dir, "model_config.json"), func(m map[string]any) {
		inner := m["init_args"].([]any)[0].(map[string]any)
		delete(inner, "layer_norm_eps")
		delete(inner, "intermediate_size")
	})
	m := open(t, dir, convert.OpenOptions{})
	var config map[string]any
	if err := json.Unmarshal(m.Config, &config); err != nil {
		t.Fatal(err)
	}
	if config["layer_norm_eps"] != 1e-12 || config["intermediate_size"] != 64. || config["model_type"] != "ernie" {
		t.Errorf("config %v", config)
	}
}

// What would be read wrongly, or not at all, is refused by its name.
func TestPaddleMistakes(t *testing.T) {
	file := func(name, content string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	config := func(key string, value any) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "config.json"), func(m map[string]any) { m[key] = value })
		}
	}
	cut := func(name string, size int64) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, name), size); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(name string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, test := range map[string]struct {
		from, want string
		change     func(t *testing.T, dir string)
	}{
		"no config":      {"ernie", "neither config.json nor model_config.json", remove("model_config.json")},
		"another class":  {"ernie", `nor the class ("GPTModel") of the config is of an architecture`, file("model_config.json", `{"hidden_size": 32, "init_class": "GPTModel"}`)},
		"a longer class": {"ernie", `nor the class ("ErnieMModel") of the config`, file("model_config.json", `{"hidden_size": 32, "init_class": "ErnieMModel"}`)},
		"no sizes":       {"ernie", "no sizes of a model", file("model_config.json", `{"init_args": [{"init_class": "ErnieModel"}]}`)},
		"no pickle":      {"ernie", "it is no pickle", file("model_state.pdparams", "PK")},
		"call":           {"ernie", `refuses to call "os.system"`, file("model_state.pdparams", "\x80\x02cos\nsystem\nU\x04true\x85R.")},
		"slices":         {"ernie", "large arrays are in slices", file("model_state.pdparams", "\x80\x02}U\x15UnpackBigParamInfor@@}s.")},
		"cut":            {"ernie", "model_state.pdparams", cut("model_state.pdparams", 100000)},
		"poor tokenizer": {"ernie", `special token "[UNK]" is not in it`, file("vocab.txt", "[PAD]\n[CLS]\n[SEP]\n[MASK]\n")},
		"missing shard":  {"llama", `shard "model_state-00002-of-00003.pdparams", which the index names, is missing`, remove("model_state-00002-of-00003.pdparams")},
		"cut shard":      {"llama", `shard "model_state-00002-of-00003.pdparams": byte`, cut("model_state-00002-of-00003.pdparams", 40000)},
		"cut in data":    {"llama", "unexpected EOF", cut("model_state-00001-of-00003.pdparams", 66000)},
		"absent tensor": {"llama", `tensor "x" is not in its shard "model_state-00001-of-00003.pdparams"`, func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "model_state.pdparams.index.json"), func(m map[string]any) {
				m["weight_map"].(map[string]any)["x"] = "model_state-00001-of-00003.pdparams"
			})
		}},
		"parts": {"llama", "model_state.tp00.pdparams is a part of a model that was split over devices", func(t *testing.T, dir string) {
			remove("model_state.pdparams.index.json")(t, dir)
			file("model_state.tp00.pdparams", "")(t, dir)
		}},
		"another model type": {"llama", `model_type ("gpt")`, config("model_type", "gpt")},
		"alibi":              {"llama", "alibi is true, which is not supported", config("alibi", true)},
		"unknown rope":       {"llama", "rope_scaling_type is longrope, which is not supported", config("rope_scaling_type", "longrope")},
		"task": {"rocketqa", "task_id is 1, which is not supported", func(t *testing.T, dir string) {
			config("use_task_id", true)(t, dir)
			config("task_id", 1)(t, dir)
		}},
		"other heads": {"llama-fused", `tensor "layers.0.self_attn.qkv_proj.weight": 64 rows are not those of 5 heads`, config("num_attention_heads", 5)},
		"latents":     {"nvembed", "are not those of a model of NV-Embed", config("num_key_value_heads", 3)},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyDir(t, filepath.Join("../testdata/paddle", test.from))
			test.change(t, dir)
			m, err := convert.Open(dir, convert.OpenOptions{})
			if err == nil {
				m.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %s", err, test.want)
			}
		})
	}
}
