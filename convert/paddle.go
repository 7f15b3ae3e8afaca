package convert

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"graft/convert/pickle"
	"graft/convert/safetensors"
	"graft/graph"
)

// findPaddle finds what paddle.save wrote: one file, or the index of shards.
func findPaddle(path string) (string, error) {
	for _, name := range []string{pickle.PaddleFileName, pickle.PaddleIndexName} {
		if file := filepath.Join(path, name); exists(file) {
			return file, nil
		}
	}
	if parts, _ := filepath.Glob(filepath.Join(path, "model_state.tp*.pdparams")); len(parts) > 0 { // the pattern is well-formed
		return "", fmt.Errorf("%s is a part of a model that was split over devices; save it from PaddleNLP with merge_tensor_parallel", filepath.Base(parts[0]))
	}
	return "", nil
}

// findPaddleSafetensors finds safetensors in PaddleNLP's layout. It writes "np" as their format, which no other library
// does that writes whole models; what has no format is PaddleNLP's where the config names its version.
func findPaddleSafetensors(path string) (string, error) {
	c, err := safetensors.Open(path)
	if err != nil {
		return "", nil // whoever reads it next says so
	}
	defer c.Close()
	var config map[string]any
	format := c.Metadata["format"]
	if format == "" && readJSON(path, "config.json", &config) == nil && config[paddleVersion] != nil {
		format = "np"
	}
	if format != "np" && format != "pd" {
		return "", nil
	}
	if file := filepath.Join(path, safetensors.FileName); exists(file) {
		return file, nil
	}
	return filepath.Join(path, safetensors.IndexName), nil
}

// openPaddle lists the tensors of a checkpoint in either of PaddleNLP's formats, as they are.
func openPaddle(path string) (*source, error) {
	if strings.Contains(filepath.Base(path), ".safetensors") {
		return openPaddleSafetensors(path)
	}
	c, err := pickle.OpenPaddle(path)
	if err != nil {
		return nil, err
	}
	s := newSource("paddle", c)
	for _, x := range c.Tensors {
		err = errors.Join(err, s.add(x.Name, x.DType, x.Shape, x))
	}
	return s, err
}

// openPaddleSafetensors opens safetensors that hold bfloat16 as paddle keeps it in numpy: as 16-bit integers.
func openPaddleSafetensors(path string) (*source, error) {
	c, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	s := newSource("paddle", c)
	for _, x := range c.Tensors {
		dtype := x.DType
		if dtype == safetensors.U16 {
			dtype = safetensors.BF16
		}
		err = errors.Join(err, s.add(x.Name, dtype, x.Shape, x))
	}
	return s, err
}

// readPaddle reads a model of PaddleNLP: its tensors under transformers' names and in its orientation, and its config.
func (t *translation) readPaddle(path string) error {
	from, err := openPaddle(path)
	if from != nil {
		t.source = newSource("paddle", from)
	}
	if err != nil {
		return err
	}
	p := &paddleModel{from: from}
	if err := p.readConfig(t.dir); err != nil {
		return err
	}
	for _, name := range from.names() {
		parts, err := p.translate(name)
		if err != nil {
			return err
		}
		for _, x := range parts {
			t.source.put(x, from.raw[name].dtype)
		}
	}
	if name := p.family.pieces; name != "" && t.has(paddlePieces) && !t.has(name) {
		if err := os.Rename(filepath.Join(t.dir, paddlePieces), filepath.Join(t.dir, name)); err != nil { // a link
			return err
		}
	}
	return t.replace("config.json", p.config)
}

// paddlePieces is PaddleNLP's name of every tokenizer of SentencePiece.
const paddlePieces = "sentencepiece.bpe.model"

// paddleModel is a checkpoint of PaddleNLP.
type paddleModel struct {
	from   *source
	config map[string]any // as transformers would have written it
	family paddleFamily
}

// translate makes of a tensor the one or the several that transformers has in its place.
func (p *paddleModel) translate(name string) ([]*graph.Tensor, error) {
	stored, _ := p.from.tensors[name].Source()
	t := new(graph.Tensor)
	if *t = *stored; p.turned(t) {
		t = graph.Transpose(t)
	}
	parts, err := p.split(name, t)
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", name, err)
	}
	for _, x := range parts {
		x.Name = p.family.name(x.Name)
	}
	return parts, nil
}

// paddleTables are the ends of names of matrices that stand in PaddleNLP as they do in transformers: tables of embeddings.
var paddleTables = []string{"_embeddings.weight", "embed_tokens.weight"}

// paddleHeads are the ends of names of the matrices that give a token's score. PaddleNLP keeps them either way, tied to the table or not.
var paddleHeads = []string{"lm_head.weight", "decoder.weight", "decoder_weight"}

// turned reports whether a tensor is a matrix of paddle.nn.Linear, which keeps [in, out].
func (p *paddleModel) turned(t *graph.Tensor) bool {
	ends := func(end string) bool { return strings.HasSuffix(t.Name, end) }
	switch {
	case len(t.Shape) != 2 || slices.ContainsFunc(paddleTables, ends):
		return false
	case slices.ContainsFunc(paddleHeads, ends):
		return t.Shape[1] == p.number("vocab_size")
	}
	return true
}
