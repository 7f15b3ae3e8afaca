package main

import (
	"cmp"
	"context"
	"path/filepath"
	"strings"

	"graft/evaluate"
	"graft/runtime"
)

// scorer lets the evaluation use ONNX Runtime's matrix product.
type scorer struct{ product *runtime.Scorer }

// Score implements evaluate.Scorer.
func (s scorer) Score(ctx context.Context, queries, documents evaluate.Matrix, scores []float32) error {
	return s.product.Score(ctx, queries.Data, documents.Data, queries.Dim, scores)
}

// modelName is a model's name in mteb's form, organization/model.
func modelName(path string) string {
	if name, ok := strings.CutPrefix(path, "hf:"); ok {
		name, _, _ = strings.Cut(name, "@")
		return name
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return "graft/" + strings.TrimSuffix(filepath.Base(path), ".onnx")
}

// modelMeta describes the model in mteb's terms.
func modelMeta(e *encoder, path string) evaluate.ModelMeta {
	similarity := e.model.Modules.Similarity
	if similarity != "dot" {
		similarity = "cosine"
	}
	dim, tokens := e.Dim, float64(e.model.Modules.MaxLength)
	return evaluate.ModelMeta{
		Name: modelName(path), Revision: strings.TrimPrefix(e.hash, "sha256:")[:40],
		EmbedDim: &dim, MaxTokens: &tokens, Framework: []string{"ONNX"}, Similarity: similarity,
	}
}

// taskEncoder encodes the texts of one task.
type taskEncoder struct {
	by     map[evaluate.Role]*encoder
	prompt map[evaluate.Role]string
	suffix map[evaluate.Role]string
	pairs  bool // documents are pairs
	length map[evaluate.Role]int
}

func (o *evalOptions) taskEncoder(t evaluate.Task, queries, documents *encoder) *taskEncoder {
	e := &taskEncoder{
		by:     map[evaluate.Role]*encoder{evaluate.QueryRole: queries, evaluate.DocumentRole: documents},
		prompt: map[evaluate.Role]string{},
		suffix: map[evaluate.Role]string{},
		pairs:  documents.model.Modules.PairTitles,
		length: map[evaluate.Role]int{evaluate.QueryRole: o.queryMax, evaluate.DocumentRole: o.docMax},
	}
	for role, given := range map[evaluate.Role]*string{evaluate.QueryRole: o.queryPrompt, evaluate.DocumentRole: o.documentPrompt} {
		if given != nil {
			e.prompt[role] = *given
		} else {
			e.prompt[role] = evaluate.Prompt(e.by[role].model.Modules.Prompts, t.Name, role)
		}
		e.suffix[role] = e.by[role].model.Modules.Suffixes[string(role)]
		e.length[role] = cmp.Or(e.length[role], o.maxLength, e.by[role].preset.length(role, e.by[role]))
	}
	return e
}

// Encode implements evaluate.Encoder.
func (e *taskEncoder) Encode(ctx context.Context, texts []string, role evaluate.Role, done func(int)) (evaluate.Matrix, error) {
	options := runtime.EncodeOptions{
		Prompt: e.prompt[role], Suffix: e.suffix[role], MaxLength: e.length[role], Progress: func(n, _ int) { done(n) },
	}
	if role == evaluate.DocumentRole && e.pairs {
		options.Separator = evaluate.PairSeparator
	}
	v, err := e.by[role].Encode(ctx, texts, options)
	if err != nil {
		return evaluate.Matrix{}, err
	}
	return evaluate.Matrix{Rows: v.Rows, Dim: v.Dim, Data: v.Data}, nil
}

func (e *taskEncoder) settings(m pair) evaluate.EncoderSettings {
	q, d := e.by[evaluate.QueryRole], e.by[evaluate.DocumentRole]
	name, hash := m.query, q.hash
	if d != q {
		name, hash = name+" + "+m.document, hash+" "+d.hash
	}
	return evaluate.EncoderSettings{
		Model: name, ModelHash: hash,
		QueryPrompt: e.prompt[evaluate.QueryRole], DocumentPrompt: e.prompt[evaluate.DocumentRole],
		QuerySuffix: e.suffix[evaluate.QueryRole], DocumentSuffix: e.suffix[evaluate.DocumentRole], PairTitles: e.pairs,
		Pooling: q.model.Modules.PoolingName(), Normalize: q.model.Modules.Normalize,
		QueryMaxLength: q.Limit(e.length[evaluate.QueryRole]), DocumentMaxLength: d.Limit(e.length[evaluate.DocumentRole]),
		Precision: q.Precision, Provider: q.Provider, Other: q.special,
	}
}
