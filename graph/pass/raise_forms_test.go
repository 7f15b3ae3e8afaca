package pass_test

import (
	"testing"

	"graft/graph"
)

// TestRaiseHeadForms raises the ways in which exporters make heads and take them apart. All must come to one form: attention of merged
// heads, so that each head's features are columns of a product, and no size read off a value that pruning cuts.
func TestRaiseHeadForms(t *testing.T) {
	for _, c := range []struct {
		name  string
		opset int64
		build func(b *graph.Builder, x *graph.Value) *graph.Value
		norms int
	}{
		{"packed heads", 17, packedHeads, 0},
		{"keys transposed by rows", 18, keysByRows, 0},
		{"tokens in a row", 17, tokensInARow, 0},
		{"Attention of heads apart", 23, func(b *graph.Builder, x *graph.Value) *graph.Value {
			q, k, v := linears(b, x)
			return mergeHeads(b, b.Op("Attention", []*graph.Value{splitHeads(b, q), splitHeads(b, k), splitHeads(b, v)}))
		}, 0},
		{"normalized heads", 17, func(b *graph.Builder, x *graph.Value) *graph.Value {
			q, k, v := linears(b, x)
			gain := b.Const(tensor("gain", 1, headSize))
			q = b.Op("LayerNormalization", []*graph.Value{splitHeads(b, q), gain}, graph.IntAttr("axis", -1))
			return attend(b, q, b.Transpose(splitHeads(b, k), 0, 1, 3, 2), splitHeads(b, v))
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := modelOf(t, c.opset, func(b *graph.Builder, x, _ *graph.Value) *graph.Value { return c.build(b, x) })
			want := map[string]int{"Attention": 1}
			if c.norms > 0 {
				want["LayerNormalization"] = c.norms
			}
			expectRaised(t, m, want)
			high, _ := raise(t, m)
			for _, n := range high.Graph.Nodes {
				switch {
				case n.Is("Attention") && len(n.Input(0).Shape()) != 3:
					t.Errorf("attention of %v, want heads merged", n.Input(0))
				case n.Is("Shape") && n.Input(0).Def() != nil:
					t.Errorf("a size of %v is read, want one of an input", n.Input(0))
				case n.Is("Split"), n.Is("Gemm"):
					t.Errorf("node %q (%s) is left", n.Name, n.Op)
				}
			}
		})
	}
}

// attend is attention of heads, the keys being transposed, as merged heads.
func attend(b *graph.Builder, q, keys, v *graph.Value) *graph.Value {
	s := b.Mul(b.MatMul(q, keys), b.Scalar(0.25))
	return mergeHeads(b, b.MatMul(softmax(b, s), v))
}

// packedHeads is ModernBERT's: one product, [batch, seq, 3, heads, size], whose parts are taken behind a transpose.
func packedHeads(b *graph.Builder, x *graph.Value) *graph.Value {
	all := b.Reshape(b.MatMul(x, b.Const(tensor("qkv", 0.2, hidden, 3*hidden))), 0, 0, 3, heads, headSize)
	all = b.Transpose(all, 0, 3, 2, 1, 4)
	q := b.Op("Gather", []*graph.Value{all, b.Int64(0)}, graph.IntAttr("axis", 2))
	k := b.Op("Gather", []*graph.Value{all, b.Int64(1)}, graph.IntAttr("axis", 2))
	v := b.Squeeze(b.Slice(all, 2, 2, 3), 2)
	return attend(b, q, b.Transpose(k, 0, 1, 3, 2), v)
}

// keysByRows is scaled_dot_product_attention of torch's newer exporter.
func keysByRows(b *graph.Builder, x *graph.Value) *graph.Value {
	q, k, v := linears(b, x)
	k = splitHeads(b, k)
	sizes := b.Op("Shape", []*graph.Value{k})
	last := func(from, to int64) *graph.Value { return b.Slice(sizes, 0, from, to) }
	join := func(list ...*graph.Value) *graph.Value { return b.Op("Concat", list, graph.IntAttr("axis", 0)) }
	rows := b.Op("Reshape", []*graph.Value{k, join(b.Int64s(-1), last(2, 3), last(3, 4))})
	keys := b.Op("Reshape", []*graph.Value{b.Transpose(rows, 0, 2, 1), join(last(0, 2), last(3, 4), last(2, 3))})
	return attend(b, splitHeads(b, q), keys, splitHeads(b, v))
}

// tokensInARow is GPT-2's: a product of two axes, split behind it.
func tokensInARow(b *graph.Builder, x *graph.Value) *graph.Value {
	y := b.Op("Gemm", []*graph.Value{b.Reshape(x, -1, hidden), b.Const(tensor("qkv", 0.2, hidden, 3*hidden)), b.Const(tensor("bias", 0.2, 3*hidden))})
	shape := b.Op("Concat", []*graph.Value{b.Size(x, 0), b.Size(x, 1), b.Int64s(3 * hidden)}, graph.IntAttr("axis", 0))
	y = b.Op("Reshape", []*graph.Value{y, shape})
	parts := b.OpN("", "Split", 3, []*graph.Value{y, b.Int64s(hidden, hidden, hidden)}, graph.IntAttr("axis", 2))
	return attend(b, splitHeads(b, parts[0]), b.Transpose(splitHeads(b, parts[1]), 0, 1, 3, 2), splitHeads(b, parts[2]))
}
