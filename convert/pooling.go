package convert

import (
	"fmt"
	"strings"

	"graft/graph"
)

// PoolingMode is one way to make a text's vector of its tokens' vectors.
type PoolingMode struct {
	Name string // as in sentence-transformers' 1_Pooling/config.json, where it is known there
	Flag string // on the command line
	Doc  string

	old  string // the key of the layout before sentence-transformers 6
	pool func(p *pooler) *graph.Value
}

// poolingModes are in the order in which sentence-transformers joins several.
var poolingModes = []PoolingMode{
	{"cls", "cls", "the first real token", "pooling_mode_cls_token", (*pooler).first},
	{"max", "max", "the largest value of each feature", "pooling_mode_max_tokens", (*pooler).max},
	{"mean", "mean", "the mean of all real tokens", "pooling_mode_mean_tokens", (*pooler).mean},
	{"mean_sqrt_len_tokens", "mean_sqrt_len", "the sum over the root of the number of tokens", "pooling_mode_mean_sqrt_len_tokens", (*pooler).meanSqrt},
	{"weightedmean", "weightedmean", "the mean weighted by position, 1 at the first token", "pooling_mode_weightedmean_tokens", (*pooler).weightedMean},
	{"lasttoken", "last", "the last real token", "pooling_mode_lasttoken", (*pooler).last},
	{"last_8", "last_8", "the mean of the last 8 real tokens, or of all where there are fewer; not in sentence-transformers", "", (*pooler).last8},
	{latentPooling, latentPooling, "the mean of what the model's own attention to latents makes of the tokens (NV-Embed)", "", (*pooler).latentMean},
}

// latentPooling is the pooling of models that bring their own (Arch.Latent).
const latentPooling = "latent"

// PoolingModes lists the poolings.
func PoolingModes() []PoolingMode { return append([]PoolingMode(nil), poolingModes...) }

func poolingMode(name string) (PoolingMode, error) {
	var known []string
	for _, m := range poolingModes {
		if name == m.Name || name == m.Flag {
			return m, nil
		}
		known = append(known, m.Flag)
	}
	return PoolingMode{}, fmt.Errorf("unknown pooling %q; known: %s", name, strings.Join(known, ", "))
}

// pooler makes one vector per text of hidden [batch, sequence, features]. Padding may be on
// either side. It uses operators in the form of the opset it is given, so that it can also end
// somebody else's graph.
type pooler struct {
	b     *graph.Builder
	opset int64
	tokenVectors

	count, total *graph.Value
}

// tokenVectors are what a pooling makes a text's vector of.
type tokenVectors struct {
	hidden *graph.Value                                       // [batch, sequence, features]
	mask   *graph.Value                                       // int64 [batch, sequence], 1 at the tokens that count
	real   *graph.Value                                       // the same, 1 at all tokens of a text, its prompt's too
	latent func(hidden *graph.Value) (latentsOf *graph.Value) // the model's attention to latents; nil: it has none
}

func newPooler(b *graph.Builder, opset int64, t tokenVectors) *pooler {
	return &pooler{b: b.Scope("pooling"), opset: opset, tokenVectors: t}
}

// apply pools in every mode and joins the vectors: [batch, features·modes].
func (p *pooler) apply(modes []PoolingMode) *graph.Value {
	var all []*graph.Value
	for _, m := range modes {
		all = append(all, m.pool(p))
	}
	if len(all) == 1 {
		return all[0]
	}
	return p.b.Op("Concat", all, graph.IntAttr("axis", -1))
}

func (p *pooler) first() *graph.Value {
	return p.weighted(p.weight(p.b.Op("Equal", []*graph.Value{p.counted(), p.b.Int64(1)})))
}

func (p *pooler) last() *graph.Value {
	p.counted()
	return p.weighted(p.weight(p.b.Op("Equal", []*graph.Value{p.count, p.total})))
}

func (p *pooler) last8() *graph.Value {
	p.counted()
	return p.average(p.weight(p.b.Op("Greater", []*graph.Value{p.count, p.b.Sub(p.total, p.b.Int64(8))})))
}

func (p *pooler) mean() *graph.Value { return p.average(p.weight(nil)) }

func (p *pooler) latentMean() *graph.Value {
	if p.latent == nil {
		p.b.Errorf("pooling %q: only a checkpoint with attention to latents has it (model_type nvembed)", latentPooling)
		return p.mean()
	}
	own := *p
	own.hidden = p.latent(p.hidden)
	return own.mean()
}

func (p *pooler) meanSqrt() *graph.Value {
	w := p.weight(nil)
	return p.b.Div(p.weighted(w), p.b.Op("Sqrt", []*graph.Value{p.atLeast(p.sum(w), 1e-9)}))
}

// weightedMean weighs a token by its place in the text, a prompt that is not pooled included.
func (p *pooler) weightedMean() *graph.Value {
	place := p.counted()
	if p.real != p.mask {
		place = p.b.Op("CumSum", []*graph.Value{p.real, p.b.Int64(1)})
	}
	return p.average(p.b.Mul(p.b.Cast(place, graph.Float), p.weight(nil)))
}

func (p *pooler) max() *graph.Value {
	real := p.b.Cast(p.b.Reshape(p.mask, 0, -1, 1), graph.Bool)
	h := p.b.Where(real, p.hidden, p.b.Scalar(-1e9))
	return p.reduce("ReduceMax", 18, h, 1, 0)
}

// counted numbers the real tokens of each text from 1, in count, and has their number in total
// [batch, 1].
func (p *pooler) counted() *graph.Value {
	if p.count == nil {
		p.count = p.b.Op("CumSum", []*graph.Value{p.mask, p.b.Int64(1)})
		p.total = p.sum(p.mask)
	}
	return p.count
}

// weight is 1 at the real tokens for which where holds (nil: all), 0 elsewhere: float [batch, sequence].
func (p *pooler) weight(where *graph.Value) *graph.Value {
	if where == nil {
		return p.b.Cast(p.mask, graph.Float)
	}
	return p.b.Cast(p.b.Op("And", []*graph.Value{where, p.b.Cast(p.mask, graph.Bool)}), graph.Float)
}

// weighted is the sum of the token vectors times w [batch, sequence]: a matrix product, which
// costs a pass over hidden and no copy of it.
func (p *pooler) weighted(w *graph.Value) *graph.Value {
	v := p.b.MatMul(p.b.Reshape(w, 0, 1, -1), p.hidden) // [batch, 1, features]
	return p.b.Op("Squeeze", p.axes(13, v, 1), p.axesAttr(13, 1)...)
}

// average is weighted over the sum of the weights.
func (p *pooler) average(w *graph.Value) *graph.Value {
	return p.b.Div(p.weighted(w), p.atLeast(p.sum(w), 1e-9))
}

// sum adds x [batch, n] up: [batch, 1].
func (p *pooler) sum(x *graph.Value) *graph.Value { return p.reduce("ReduceSum", 13, x, 1, 1) }

func (p *pooler) atLeast(x *graph.Value, f float32) *graph.Value {
	return p.b.Op("Max", []*graph.Value{x, p.b.Scalar(f)})
}

// normalize divides each row of x [batch, n] by its length, as torch.nn.functional.normalize does.
func (p *pooler) normalize(x *graph.Value) *graph.Value {
	length := p.b.Op("Sqrt", []*graph.Value{p.sum(p.b.Mul(x, x))})
	return p.b.Div(x, p.atLeast(length, 1e-12))
}

func (p *pooler) reduce(op string, since int64, x *graph.Value, axis, keep int64) *graph.Value {
	return p.b.Op(op, p.axes(since, x, axis), append(p.axesAttr(since, axis), graph.IntAttr("keepdims", keep))...)
}

// axes and axesAttr give an operator its axes: as an input from opset since on, as an attribute before.
func (p *pooler) axes(since int64, x *graph.Value, axis int64) []*graph.Value {
	if p.opset >= since {
		return []*graph.Value{x, p.b.Int64s(axis)}
	}
	return []*graph.Value{x}
}

func (p *pooler) axesAttr(since, axis int64) []graph.Attr {
	if p.opset >= since {
		return nil
	}
	return []graph.Attr{graph.IntsAttr("axes", axis)}
}
