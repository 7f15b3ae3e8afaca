package pass_test

import (
	"testing"

	"graft/graph"
)

// The models that the tests of Lower and Raise start from: graphs as the architectures build
// them, small enough to look at.

const (
	hidden = 32
	heads  = 4
	inner  = 48
)

// checkpoint holds the weights of a model under construction.
type checkpoint map[string]*graph.Tensor

func (c checkpoint) Tensor(name string) (*graph.Tensor, bool) { t, ok := c[name]; return t, ok }

// put adds a weight of noise; a vector is a gain, near 1, where gain is set.
func (c checkpoint) put(name string, gain bool, shape ...int64) {
	t := tensor(name, 0.2, shape...)
	if gain {
		data, _ := t.Float32s()
		for i := range data {
			data[i] += 1
		}
		t = graph.NewTensor(name, data, shape...)
	}
	c[name] = t
}

func (c checkpoint) linear(name string, in, out int64) {
	c.put(name+".weight", false, out, in)
	c.put(name+".bias", false, out)
}

// start is a model of opset 23 with an input x [batch, seq, hidden] and a mask [batch, seq].
func start(c checkpoint) (b *graph.Builder, x, mask *graph.Value, m *graph.Model) {
	g := &graph.Graph{Name: "test"}
	m = &graph.Model{IRVersion: 11, Opsets: []graph.Opset{{Version: 23}}, Graph: g}
	b = graph.NewBuilder(g, c)
	x = b.Input("x", graph.TensorType(graph.Float, graph.Symbol("batch"), graph.Symbol("seq"), graph.Size(hidden)))
	mask = b.Input("attention_mask", graph.TensorType(graph.Int64, graph.Symbol("batch"), graph.Symbol("seq")))
	return b, x, mask, m
}

func finish(t *testing.T, b *graph.Builder, m *graph.Model, y *graph.Value) *graph.Model {
	t.Helper()
	b.Output("y", y, graph.TensorType(graph.Float, graph.Symbol("batch"), graph.Symbol("seq"), graph.Size(hidden)))
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return m
}

// inputs are two texts of 5 tokens, the second padded on the right.
func inputs() arrays {
	return arrays{
		"x":              floats(noise(7, 2, 5, hidden), 2, 5, hidden),
		"attention_mask": int64s([]int64{1, 1, 1, 1, 1, 1, 1, 1, 0, 0}, 2, 5),
	}
}

// padding is the mask [batch, 1, seq, seq] of all real tokens; ONNX Runtime's kernel of
// opset 23's Attention does not take [batch, 1, 1, seq].
func padding(b *graph.Builder, mask *graph.Value) *graph.Value {
	one := b.Int64s(1)
	shape := b.Op("Concat", []*graph.Value{one, one, b.Size(mask, 1), one}, graph.IntAttr("axis", 0))
	return b.Op("Expand", []*graph.Value{b.Unsqueeze(b.Cast(mask, graph.Bool), 1, 2), shape})
}

// postNorm is two blocks of BERT, with a mask that ONNX Runtime's Attention takes.
func postNorm(t *testing.T) *graph.Model { return bertBlocks(t, padding) }

// bert is the same with the mask that architectures build, [batch, 1, 1, seq].
func bert(t *testing.T) *graph.Model {
	return bertBlocks(t, func(b *graph.Builder, mask *graph.Value) *graph.Value {
		return b.Unsqueeze(b.Cast(mask, graph.Bool), 1, 2)
	})
}

func bertBlocks(t *testing.T, makeMask func(*graph.Builder, *graph.Value) *graph.Value) *graph.Model {
	c := checkpoint{}
	b, x, mask, m := start(c)
	see := makeMask(b, mask)
	for i := range 2 {
		l := b.Scope("encoder.layer.%d", i)
		for _, name := range []string{"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"} {
			c.linear(prefixed(i, name), hidden, hidden)
		}
		c.linear(prefixed(i, "intermediate.dense"), hidden, inner)
		c.linear(prefixed(i, "output.dense"), inner, hidden)
		for _, name := range []string{"attention.output.LayerNorm", "output.LayerNorm"} {
			c.put(prefixed(i, name+".weight"), true, hidden)
			c.put(prefixed(i, name+".bias"), false, hidden)
		}
		a := l.Attention(l.Linear("attention.self.query", x, hidden, hidden), l.Linear("attention.self.key", x, hidden, hidden),
			l.Linear("attention.self.value", x, hidden, hidden), graph.AttentionOptions{Heads: heads, Mask: see, Dropout: 0.1})
		a = l.Dropout(l.Linear("attention.output.dense", a, hidden, hidden), 0.1)
		x = l.LayerNorm("attention.output.LayerNorm", l.Add(a, x), hidden, 1e-12)
		h := l.Activation("gelu", l.Linear("intermediate.dense", x, hidden, inner))
		h = l.Dropout(l.Linear("output.dense", h, inner, hidden), 0.1)
		x = l.LayerNorm("output.LayerNorm", l.Add(h, x), hidden, 1e-12)
	}
	return finish(t, b, m, x)
}

func prefixed(layer int, name string) string {
	return "encoder.layer." + string(rune('0'+layer)) + "." + name
}

// preNorm is two blocks of Qwen3: RMSNorm, norms of heads, rotary positions, grouped queries,
// causal order, a gated MLP.
func preNorm(t *testing.T) *graph.Model {
	const kv, size = 2, 8
	c := checkpoint{}
	b, x, mask, m := start(c)
	c["cos"], c["sin"] = graph.NewTensor("cos", noise(11, 16, size/2), 16, size/2), graph.NewTensor("sin", noise(12, 16, size/2), 16, size/2)
	positions := b.Op("CumSum", []*graph.Value{mask, b.Int64(1)})
	cos := b.Op("Gather", []*graph.Value{b.Weight("cos", 16, size/2), positions})
	sin := b.Op("Gather", []*graph.Value{b.Weight("sin", 16, size/2), positions})
	see := padding(b, mask)
	for i := range 2 {
		l := b.Scope("encoder.layer.%d", i)
		for name, shape := range map[string][2]int64{"q": {heads * size, hidden}, "k": {kv * size, hidden}, "v": {kv * size, hidden}, "o": {hidden, heads * size},
			"gate": {inner, hidden}, "up": {inner, hidden}, "down": {hidden, inner}} {
			c.put(prefixed(i, name+".weight"), false, shape[0], shape[1])
		}
		for name, n := range map[string]int64{"input_norm": hidden, "post_norm": hidden, "q_norm": size, "k_norm": size} {
			c.put(prefixed(i, name+".weight"), true, n)
		}
		h := l.RMSNorm("input_norm", x, hidden, 1e-6)
		q, k := l.LinearNoBias("q", h, hidden, heads*size), l.LinearNoBias("k", h, hidden, kv*size)
		q = l.Reshape(l.RMSNorm("q_norm", l.Reshape(q, 0, 0, heads, size), size, 1e-6), 0, 0, heads*size)
		k = l.Reshape(l.RMSNorm("k_norm", l.Reshape(k, 0, 0, kv, size), size, 1e-6), 0, 0, kv*size)
		a := l.Attention(l.Rotary(q, cos, sin, heads, size, size), l.Rotary(k, cos, sin, kv, size, size), l.LinearNoBias("v", h, hidden, kv*size),
			graph.AttentionOptions{Heads: heads, KVHeads: kv, Mask: see, Causal: true})
		x = l.Add(x, l.LinearNoBias("o", a, heads*size, hidden))
		h = l.RMSNorm("post_norm", x, hidden, 1e-6)
		h = l.Mul(l.Activation("gelu_pytorch_tanh", l.LinearNoBias("gate", h, hidden, inner)), l.LinearNoBias("up", h, hidden, inner))
		x = l.Add(x, l.LinearNoBias("down", h, inner, hidden))
	}
	return finish(t, b, m, x)
}
