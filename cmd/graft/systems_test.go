package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"graft/convert/safetensors"
)

// madeSystem is a published system in small: the tensors of a tiny model of testdata/models, in the files and under the names that the
// system's checkpoint has. testdata/systems/README.md says where the layouts were read.
type madeSystem struct {
	from     string                     // the tiny model
	rename   func(tensor string) string // "": left out; nil: as they are
	table    string                     // the embedding table, which gets rows for more tokens, or fewer
	rows     int                        // that it then has; 0: as it is
	dtype    string                     // that weights are stored in
	shards   int                        // files of weights; 1: model.safetensors
	config   map[string]any             // keys of config.json that differ
	tokens   []string                   // special tokens of tokenizer.json behind the vocabulary
	special  map[string]any             // keys of tokenizer_config.json that differ
	borrowed string                     // the tiny model whose tokenizer it has; "": its own
	slow     bool                       // it has the files of a slow Llama tokenizer and no tokenizer.json
	files    map[string]string          // others, by name
}

// bare names tensors as a model without a head does, which has no prefix and no matrix of the head.
func bare(name string) string {
	name, _ = strings.CutPrefix(name, "model.")
	return strings.TrimPrefix(name, "lm_head.weight")
}

// madeSystems are the systems whose checkpoints are safetensors.
var madeSystems = map[string]madeSystem{
	"BAAI/bge-large-en-v1.5": {
		from: "bert", dtype: safetensors.F32, shards: 1,
		files: map[string]string{
			"modules.json": `[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
				{"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
				{"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]`,
			"1_Pooling/config.json":             `{"word_embedding_dimension": 32, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false, "pooling_mode_max_tokens": false, "pooling_mode_mean_sqrt_len_tokens": false}`,
			"sentence_bert_config.json":         `{"max_seq_length": 512, "do_lower_case": true}`,
			"config_sentence_transformers.json": `{"__version__": {"sentence_transformers": "2.2.2", "transformers": "4.28.1", "pytorch": "1.13.0+cu117"}}`,
		},
	},
	"meta-llama/Llama-2-7b-hf": {from: "llama", dtype: safetensors.F16, shards: 2, config: map[string]any{"max_position_embeddings": 4096}},
	"BAAI/bge-en-icl": {
		from: "llama", rename: bare, table: "embed_tokens.weight", rows: 515, dtype: safetensors.F32, shards: 3,
		config: map[string]any{"architectures": []string{"MistralModel"}, "model_type": "mistral", "sliding_window": 4096, "vocab_size": 515, "max_position_embeddings": 32768},
		tokens: []string{"<instruct>", "<query>", "<response>"}, special: map[string]any{"add_bos_token": true, "add_eos_token": true, "padding_side": "left"},
	},
	"BAAI/LLARA-passage": {
		from: "llama", rename: bare, table: "embed_tokens.weight", rows: 416, dtype: safetensors.F32, shards: 6, slow: true,
		config: map[string]any{"architectures": []string{"LlamaModel"}, "vocab_size": 416, "max_position_embeddings": 4096},
		tokens: []string{"<s9>", "<s12>", "<s7>", "<s14>", "<s3>", "<s6>", "<s15>", "<s5>", "<s1>", "<s10>", "<s13>", "<s2>", "<s11>", "<s4>", "<s8>", "<s16>"},
	},
	"Qwen/Qwen3-Embedding-8B": {
		from: "qwen3", dtype: safetensors.BF16, shards: 4, config: map[string]any{"torch_dtype": "bfloat16", "max_position_embeddings": 40960},
		files: map[string]string{
			"modules.json": `[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
				{"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
				{"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]`,
			"1_Pooling/config.json":             `{"word_embedding_dimension": 32, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": false, "pooling_mode_lasttoken": true, "include_prompt": true}`,
			"config_sentence_transformers.json": `{"prompts": {"query": "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:", "document": ""}, "default_prompt_name": null, "similarity_fn_name": "cosine"}`,
		},
	},
	"nvidia/NV-Embed-v1": {
		from: "nvembed", table: "embedding_model.embed_tokens.weight", rows: 512, dtype: safetensors.F16, shards: 4, borrowed: "llama",
		config: map[string]any{"auto_map": map[string]any{"AutoModel": "modeling_nvembed.NVEmbedModel"}, "text_config.vocab_size": 512, "text_config.max_position_embeddings": 32768},
	},
}

// checkpoint NAME DIR makes the checkpoint of a system in DIR.
func makeCheckpoint(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: checkpoint NAME DIR")
	}
	s, ok := madeSystems[args[0]]
	if !ok {
		ts.Fatalf("no system %q", args[0])
	}
	dir, models := ts.MkAbs(args[1]), ts.Getenv("MODELS")
	ts.Check(os.MkdirAll(dir, 0o777))
	ts.Check(s.writeWeights(filepath.Join(models, s.from), dir))
	ts.Check(editJSON(filepath.Join(models, s.from, "config.json"), filepath.Join(dir, "config.json"), s.config))
	switch {
	case s.slow:
		ts.Check(s.writeSlowTokenizer(filepath.Join(ts.Getenv("ROOT"), "testdata", "tokenizers", "slow", "llama.model"), dir))
	case s.borrowed != "":
		ts.Check(s.writeTokenizer(filepath.Join(models, s.borrowed), dir))
	default:
		ts.Check(s.writeTokenizer(filepath.Join(models, s.from), dir))
	}
	for name, content := range s.files {
		path := filepath.Join(dir, name)
		ts.Check(os.MkdirAll(filepath.Dir(path), 0o777))
		ts.Check(os.WriteFile(path, []byte(content), 0o666))
	}
}

// editJSON copies a JSON object with other values of some keys; a dot in a key leads into an object.
func editJSON(from, to string, edits map[string]any) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	object := map[string]any{}
	if err := json.Unmarshal(raw, &object); err != nil {
		return err
	}
	for key, value := range edits {
		at := object
		for outer, inner, more := strings.Cut(key, "."); more; outer, inner, more = strings.Cut(key, ".") {
			at, key = at[outer].(map[string]any), inner
		}
		at[key] = value
	}
	if raw, err = json.MarshalIndent(object, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(to, raw, 0o666)
}

// writeTokenizer copies the tokenizer's files and adds the system's tokens.
func (s madeSystem) writeTokenizer(from, dir string) error {
	raw, err := os.ReadFile(filepath.Join(from, "tokenizer.json"))
	if err != nil {
		return err
	}
	var file map[string]any
	if err := json.Unmarshal(raw, &file); err != nil {
		return err
	}
	added := file["added_tokens"].([]any)
	next := len(file["model"].(map[string]any)["vocab"].(map[string]any))
	for i, token := range s.tokens {
		added = append(added, map[string]any{
			"id": next + i, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true,
		})
	}
	err = editJSON(filepath.Join(from, "tokenizer.json"), filepath.Join(dir, "tokenizer.json"), map[string]any{"added_tokens": added})
	for _, name := range []string{"special_tokens_map.json", "vocab.txt"} {
		if raw, read := os.ReadFile(filepath.Join(from, name)); err == nil && read == nil {
			err = os.WriteFile(filepath.Join(dir, name), raw, 0o666)
		}
	}
	if err != nil {
		return err
	}
	special := map[string]any{"model_max_length": 1e30}
	maps.Copy(special, s.special)
	return editJSON(filepath.Join(from, "tokenizer_config.json"), filepath.Join(dir, "tokenizer_config.json"), special)
}

// writeSlowTokenizer writes the files that LlamaTokenizer.save_pretrained writes (transformers 4.33 and later), with the system's tokens
// behind the pieces of a SentencePiece model.
func (s madeSystem) writeSlowTokenizer(pieces, dir string) error {
	raw, err := os.ReadFile(pieces)
	if err != nil {
		return err
	}
	token := func(content string) map[string]any {
		return map[string]any{"content": content, "lstrip": false, "normalized": false, "rstrip": false, "single_word": false}
	}
	ids := map[string]int{}
	decoder := map[string]any{}
	special := map[string]any{"additional_special_tokens": s.tokens, "bos_token": token("<s>"), "eos_token": token("</s>"), "unk_token": token("<unk>")}
	add := func(id int, content string) {
		decoder[fmt.Sprint(id)] = token(content)
		decoder[fmt.Sprint(id)].(map[string]any)["special"] = true
	}
	for id, content := range []string{"<unk>", "<s>", "</s>"} {
		add(id, content)
	}
	for i, content := range s.tokens {
		ids[content] = s.rows - len(s.tokens) + i
		add(ids[content], content)
	}
	config := map[string]any{
		"tokenizer_class": "LlamaTokenizer", "added_tokens_decoder": decoder, "additional_special_tokens": s.tokens, "add_bos_token": true, "add_eos_token": false,
		"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": nil, "legacy": false, "sp_model_kwargs": map[string]any{},
		"clean_up_tokenization_spaces": false, "use_default_system_prompt": false, "model_max_length": 1e30,
	}
	err = os.WriteFile(filepath.Join(dir, "tokenizer.model"), raw, 0o666)
	for name, object := range map[string]any{"added_tokens.json": ids, "special_tokens_map.json": special, "tokenizer_config.json": config} {
		raw, failed := json.MarshalIndent(object, "", "  ")
		err = errors.Join(err, failed, os.WriteFile(filepath.Join(dir, name), raw, 0o666))
	}
	return err
}

// writeWeights writes the tiny model's tensors in the system's files.
func (s madeSystem) writeWeights(from, dir string) error {
	c, err := safetensors.Open(from)
	if err != nil {
		return err
	}
	defer c.Close()
	files := make([][]madeTensor, s.shards)
	for i, t := range c.Tensors {
		values, err := t.Float32()
		if err != nil {
			return err
		}
		name := t.Name
		if s.rename != nil {
			if name = s.rename(name); name == "" {
				continue
			}
		}
		m := madeTensor{safetensors.Entry{Name: name, DType: s.dtype, Shape: slices.Clone(t.Shape)}, values}
		if name == s.table {
			m.resize(s.rows)
		}
		shard := i * s.shards / len(c.Tensors)
		files[shard] = append(files[shard], m)
	}
	if s.shards == 1 {
		return writeMade(filepath.Join(dir, safetensors.FileName), files[0])
	}
	index := map[string]string{}
	for i, tensors := range files {
		name := fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, s.shards)
		for _, t := range tensors {
			index[t.Name] = name
		}
		if err := writeMade(filepath.Join(dir, name), tensors); err != nil {
			return err
		}
	}
	raw, err := json.Marshal(map[string]any{"metadata": map[string]any{}, "weight_map": index})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, safetensors.IndexName), raw, 0o666)
}

// madeTensor is a tensor that is to be written.
type madeTensor struct {
	safetensors.Entry
	values []float32
}

// resize gives a table other rows: the first, and if those are too few more, each made of an earlier one.
func (t *madeTensor) resize(rows int) {
	n, width := int(t.Shape[0]), int(t.Shape[1])
	t.values = t.values[:min(n, rows)*width]
	for i := n; i < rows; i++ {
		for j := range width {
			t.values = append(t.values, t.values[i*31%n*width+(i+j)%width])
		}
	}
	t.Shape[0] = int64(rows)
}

func writeMade(path string, tensors []madeTensor) error {
	var entries []safetensors.Entry
	for _, t := range tensors {
		entries = append(entries, t.Entry)
	}
	w, err := safetensors.Create(path, map[string]string{"format": "pt"}, entries)
	if err != nil {
		return err
	}
	defer w.Close()
	for _, t := range tensors {
		var raw bytes.Buffer
		for _, v := range t.values {
			raw.Write([]byte{byte(math.Float32bits(v)), byte(math.Float32bits(v) >> 8), byte(math.Float32bits(v) >> 16), byte(math.Float32bits(v) >> 24)})
		}
		r, err := safetensors.Cast(&raw, safetensors.F32, t.DType)
		if err != nil {
			return err
		}
		err = w.Tensor(t.Name, func(w io.Writer) error {
			_, err := io.Copy(w, r)
			return err
		})
		if err != nil {
			return err
		}
	}
	return w.Commit()
}

// vectorTolerance is what two libraries' float32 may differ by in a value of a vector.
const vectorTolerance = 2e-5

// vectors SYSTEM ROLE FILE: the embeddings in FILE (.jsonl) are those that testdata/systems/expected.json has for the system in that role.
func sameVectors(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: vectors SYSTEM ROLE FILE")
	}
	raw, err := os.ReadFile(filepath.Join(ts.Getenv("ROOT"), "testdata", "systems", "expected.json"))
	ts.Check(err)
	var expected map[string]map[string][][]float64
	ts.Check(json.Unmarshal(raw, &expected))
	want := expected[args[0]][args[1]]
	lines := strings.Split(strings.TrimSpace(ts.ReadFile(args[2])), "\n")
	if len(want) == 0 || len(lines) != len(want) {
		ts.Fatalf("%d vectors, want %d", len(lines), len(want))
	}
	for i, line := range lines {
		var got struct{ Embedding []float64 }
		ts.Check(json.Unmarshal([]byte(line), &got))
		if len(got.Embedding) != len(want[i]) {
			ts.Fatalf("vector %d has %d values, want %d", i, len(got.Embedding), len(want[i]))
		}
		for j, v := range got.Embedding {
			if d := math.Abs(v - want[i][j]); !(d <= vectorTolerance) {
				ts.Fatalf("vector %d: value %d is %g, want %g", i, j, v, want[i][j])
			}
		}
	}
}
