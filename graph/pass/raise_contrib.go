package pass

import (
	"graft/graph"
)

// contribs says how ONNX Runtime's own operators (docs/ContribOperators.md there) are written
// in the IR. What has no row, or an input that its row does not know, stays.
var contribs = map[string]func(*raiser, *graph.Node) []*graph.Value{
	"Gelu":                             contribGelu,
	"BiasGelu":                         contribGelu,
	"FastGelu":                         contribFastGelu,
	"SimplifiedLayerNormalization":     contribRMSNorm,
	"SkipLayerNormalization":           contribSkipNorm,
	"SkipSimplifiedLayerNormalization": contribSkipRMSNorm,
	"EmbedLayerNormalization":          contribEmbed,
	"RotaryEmbedding":                  contribRotary,
	"Attention":                        contribAttention,
	"MultiHeadAttention":               contribMultiHead,
	"GroupQueryAttention":              contribGroupQuery,
	"FusedMatMul":                      contribFusedMatMul,
	"QuickGelu":                        contribQuickGelu,
}

func raiseContrib(r *raiser, n *graph.Node) []*graph.Value {
	// SimplifiedLayerNormalization lives in the default domain although ONNX does not have it.
	if n.Domain != graph.Microsoft && n.Op != "SimplifiedLayerNormalization" {
		return nil
	}
	f := contribs[n.Op]
	if f == nil {
		return nil
	}
	before := len(r.scratch.Nodes)
	out := f(r, n)
	if out == nil {
		r.scratch.Nodes = r.scratch.Nodes[:before]
	}
	return out
}

// raised counts the node and is its only output.
func (r *raiser) raised(op string, v *graph.Value) []*graph.Value {
	r.report.Raised[op]++
	return []*graph.Value{v}
}

// contribGelu: gelu(x [+ bias]).
func contribGelu(r *raiser, n *graph.Node) []*graph.Value {
	return r.raised("Gelu", r.b.Op("Gelu", []*graph.Value{r.sum(n.Input(0), n.Input(1))}))
}

func contribFastGelu(r *raiser, n *graph.Node) []*graph.Value {
	return r.raised("Gelu", r.b.Op("Gelu", []*graph.Value{r.sum(n.Input(0), n.Input(1))}, graph.StrAttr("approximate", "tanh")))
}

// contribQuickGelu: x · sigmoid(alpha · x), with alpha = 1 the SiLU of Llama and its kin.
func contribQuickGelu(r *raiser, n *graph.Node) []*graph.Value {
	x := n.Input(0)
	inside := x
	if alpha := n.Float("alpha", 1.702); alpha != 1 {
		inside = r.b.Mul(x, r.scalar(x, float64(alpha)))
	}
	return []*graph.Value{r.b.Mul(x, r.b.Op("Sigmoid", []*graph.Value{inside}))}
}

func contribRMSNorm(r *raiser, n *graph.Node) []*graph.Value {
	if r.onlyFirst(n) != nil {
		return nil
	}
	return r.raised("RMSNormalization", r.b.Op("RMSNormalization", n.Inputs[:2],
		graph.IntAttr("axis", n.Int("axis", -1)), graph.FloatAttr("epsilon", n.Float("epsilon", 1e-5))))
}

// contribSkipNorm: norm(input + skip [+ bias]), and the sum as output 3.
func contribSkipNorm(r *raiser, n *graph.Node) []*graph.Value {
	return r.skipNorm(n, "LayerNormalization", []*graph.Value{n.Input(2), n.Input(3)}, n.Input(4), 1e-12)
}

func contribSkipRMSNorm(r *raiser, n *graph.Node) []*graph.Value {
	return r.skipNorm(n, "RMSNormalization", []*graph.Value{n.Input(2)}, n.Input(3), 1e-6)
}

func (r *raiser) skipNorm(n *graph.Node, op string, weights []*graph.Value, bias *graph.Value, eps float32) []*graph.Value {
	for i := 1; i <= 2; i++ { // mean and inverse deviation
		if v := n.Output(i); v != nil && (len(r.uses[v]) > 0 || r.graph.IsOutput(v)) {
			return nil
		}
	}
	in := [2]*graph.Value{n.Input(0), n.Input(1)}
	product := 0 // the bias belongs to it, so that the residual sum is the last one before the norm
	if in[1].Def().Is("MatMul") {
		product = 1
	}
	in[product] = r.sum(in[product], bias)
	x := r.b.Add(in[0], in[1])
	if weights[len(weights)-1] == nil {
		weights = weights[:len(weights)-1]
	}
	y := r.b.Op(op, append([]*graph.Value{x}, weights...), graph.IntAttr("axis", -1), graph.FloatAttr("epsilon", n.Float("epsilon", eps)))
	out := r.raised(op, y)
	if n.Output(3) != nil {
		out = append(out, nil, nil, x)
	}
	return out
}

// contribEmbed: norm(words[ids] + positions[place] + types[segment]), and the number of real
// tokens of each text.
func contribEmbed(r *raiser, n *graph.Node) []*graph.Value {
	b, ids := r.b, n.Input(0)
	place := n.Input(8)
	if place == nil {
		one := b.Int64(1)
		place = b.Unsqueeze(b.Op("Range", []*graph.Value{b.Int64(0), b.Squeeze(b.Size(ids, 1), 0), one}), 0)
	}
	look := func(table, i *graph.Value) *graph.Value {
		return b.Op("Gather", []*graph.Value{table, i}, graph.IntAttr("axis", 0))
	}
	x := look(n.Input(2), ids)
	if n.Input(1) != nil {
		x = b.Add(x, look(n.Input(4), n.Input(1)))
	}
	x = b.Add(x, look(n.Input(3), place))
	y := b.Op("LayerNormalization", []*graph.Value{x, n.Input(5), n.Input(6)},
		graph.IntAttr("axis", -1), graph.FloatAttr("epsilon", n.Float("epsilon", 1e-12)))
	out := r.raised("LayerNormalization", y)
	if lengths := n.Output(1); lengths != nil && (len(r.uses[lengths]) > 0 || r.graph.IsOutput(lengths)) {
		if n.Input(7) == nil {
			return nil
		}
		out = append(out, b.Cast(b.ReduceSum(n.Input(7), false, 1), graph.Int32))
	} else if n.Output(1) != nil {
		out = append(out, nil)
	}
	if n.Output(2) != nil {
		for len(out) < 2 {
			out = append(out, nil)
		}
		out = append(out, x)
	}
	return out
}

// contribRotary: the operator of ONNX with the positions before the tables.
func contribRotary(r *raiser, n *graph.Node) []*graph.Value {
	positions := n.Input(1)
	if len(positions.Shape()) != 2 || n.Int("is_packed_batching", 0) != 0 || n.Float("scale", 1) != 1 {
		return nil
	}
	var attrs []graph.Attr
	for _, name := range []string{"interleaved", "num_heads", "rotary_embedding_dim"} {
		if v := n.Int(name, 0); v != 0 {
			attrs = append(attrs, graph.IntAttr(name, v))
		}
	}
	heads := n.Int("num_heads", 0)
	if len(n.Input(0).Shape()) == 3 && heads == 0 {
		half := axisSize(n.Input(2), 1)
		width := axisSize(n.Input(0), 2)
		if half <= 0 || width <= 0 {
			return nil
		}
		attrs = append(attrs, graph.IntAttr("num_heads", width/(2*half)))
	}
	return r.raised("RotaryEmbedding", r.b.Op("RotaryEmbedding", []*graph.Value{n.Input(0), n.Input(2), n.Input(3), positions}, attrs...))
}
