package pass_test

import (
	"testing"

	"graft/graph"
)

// TestRaiseContrib raises ONNX Runtime's own operators; what its kernels compute is the reference.
func TestRaiseContrib(t *testing.T) {
	ms := func(b *graph.Builder, op string, n int, in []*graph.Value, attrs ...graph.Attr) []*graph.Value {
		return b.OpN(graph.Microsoft, op, n, in, attrs...)
	}
	eps := graph.FloatAttr("epsilon", 1e-6)
	numHeads := graph.IntAttr("num_heads", heads)
	vector := func(b *graph.Builder, name string) *graph.Value { return b.Const(tensor(name, 1, hidden)) }
	int32s := func(b *graph.Builder, v *graph.Value) *graph.Value { return b.Cast(v, graph.Int32) }
	for name, c := range map[string]struct {
		build func(b *graph.Builder, x, mask *graph.Value) *graph.Value
		want  map[string]int
	}{
		"SkipLayerNormalization": {func(b *graph.Builder, x, _ *graph.Value) *graph.Value {
			out := ms(b, "SkipLayerNormalization", 4, []*graph.Value{x, b.Mul(x, x), vector(b, "gain"), vector(b, "bias1"), vector(b, "bias22")}, eps)
			return b.Add(out[0], out[3])
		}, map[string]int{"LayerNormalization": 1}},
		"SkipSimplifiedLayerNormalization": {func(b *graph.Builder, x, _ *graph.Value) *graph.Value {
			out := ms(b, "SkipSimplifiedLayerNormalization", 4, []*graph.Value{x, b.Mul(x, x), vector(b, "gain")}, eps)
			return b.Add(out[0], out[3])
		}, map[string]int{"RMSNormalization": 1}},
		"QuickGelu": {func(b *graph.Builder, x, _ *graph.Value) *graph.Value {
			silu := ms(b, "QuickGelu", 1, []*graph.Value{x}, graph.FloatAttr("alpha", 1))[0]
			return ms(b, "QuickGelu", 1, []*graph.Value{silu})[0]
		}, map[string]int{}},
		"FusedMatMul": {func(b *graph.Builder, x, _ *graph.Value) *graph.Value {
			q, k, v := linears(b, x)
			scores := ms(b, "FusedMatMul", 1, []*graph.Value{splitHeads(b, q), splitHeads(b, k)}, graph.IntAttr("transB", 1), graph.FloatAttr("alpha", 0.25))[0]
			return mergeHeads(b, b.MatMul(softmax(b, scores), splitHeads(b, v)))
		}, map[string]int{"Attention": 1}},
		"SimplifiedLayerNormalization": {func(b *graph.Builder, x, _ *graph.Value) *graph.Value {
			return b.OpN("", "SimplifiedLayerNormalization", 1, []*graph.Value{x, vector(b, "gain")}, eps, graph.IntAttr("axis", -1))[0]
		}, map[string]int{"RMSNormalization": 1}},
		"EmbedLayerNormalization and Attention of lengths": {func(b *graph.Builder, x, mask *graph.Value) *graph.Value {
			ids := int32s(b, b.Op("CumSum", []*graph.Value{mask, b.Int64(1)}))
			table := func(name string) *graph.Value { return b.Const(tensor(name, 1, 8, hidden)) }
			e := ms(b, "EmbedLayerNormalization", 2, []*graph.Value{ids, int32s(b, mask), table("words"), table("places9"), table("types777"),
				vector(b, "gain"), vector(b, "bias"), int32s(b, mask)}, eps)
			y := ms(b, "Attention", 1, []*graph.Value{e[0], b.Const(tensor("wqkv", 0.2, hidden, 3*hidden)), b.Const(tensor("bqkv", 1, 3*hidden)), e[1]}, numHeads)[0]
			return b.Add(y, x)
		}, map[string]int{"LayerNormalization": 1, "Attention": 1}},
		"Attention of tokens": {func(b *graph.Builder, x, mask *graph.Value) *graph.Value {
			return ms(b, "Attention", 1, []*graph.Value{x, b.Const(tensor("wqkv", 0.2, hidden, 3*hidden)), b.Const(tensor("bqkv", 1, 3*hidden)), int32s(b, mask)}, numHeads)[0]
		}, map[string]int{"Attention": 1}},
		"MultiHeadAttention": {func(b *graph.Builder, x, mask *graph.Value) *graph.Value {
			q, k, v := linears(b, x)
			return ms(b, "MultiHeadAttention", 1, []*graph.Value{q, k, v, b.Const(tensor("bqkv", 1, 3*hidden)), int32s(b, mask)}, numHeads)[0]
		}, map[string]int{"Attention": 1}},
		"MultiHeadAttention with a bias of scores": {func(b *graph.Builder, x, mask *graph.Value) *graph.Value {
			q, k, v := linears(b, x)
			scores := b.Const(tensor("scores", 1, 1, heads, 5, 5))
			return ms(b, "MultiHeadAttention", 1, []*graph.Value{q, k, v, nil, int32s(b, mask), scores}, numHeads, graph.FloatAttr("scale", 0.3))[0]
		}, map[string]int{"Attention": 1}},
		"GroupQueryAttention": {func(b *graph.Builder, x, mask *graph.Value) *graph.Value {
			return groupQuery(b, x, mask, graph.FloatAttr("scale", 0.3), graph.FloatAttr("softcap", 2))
		}, map[string]int{"Attention": 1}},
		"GroupQueryAttention of a window": {func(b *graph.Builder, x, mask *graph.Value) *graph.Value {
			return groupQuery(b, x, mask, graph.IntAttr("local_window_size", 2))
		}, map[string]int{"Attention": 1}},
		"GroupQueryAttention that looks both ways": {func(b *graph.Builder, x, mask *graph.Value) *graph.Value {
			return groupQuery(b, x, mask, graph.IntAttr("causal", 0))
		}, map[string]int{"Attention": 1}},
		"RotaryEmbedding": {func(b *graph.Builder, x, mask *graph.Value) *graph.Value {
			places := b.Op("CumSum", []*graph.Value{mask, b.Int64(1)})
			cos, sin := b.Const(tensor("cos", 1, 16, headSize/2)), b.Const(tensor("sin7", 1, 16, headSize/2))
			return ms(b, "RotaryEmbedding", 1, []*graph.Value{x, places, cos, sin})[0]
		}, map[string]int{"RotaryEmbedding": 1}},
	} {
		t.Run(name, func(t *testing.T) { expectRaised(t, modelOf(t, 17, c.build), c.want) })
	}
}

// groupQuery is GroupQueryAttention without a cache, zero at padding, where the kernel's result is not defined.
func groupQuery(b *graph.Builder, x, mask *graph.Value, attrs ...graph.Attr) *graph.Value {
	q, k, v := linears(b, x)
	const shared = hidden / 2
	last := b.Cast(b.Sub(b.ReduceSum(mask, false, 1), b.Int64(1)), graph.Int32)
	keys := b.Cast(b.Squeeze(b.Size(x, 1), 0), graph.Int32)
	attrs = append(attrs, graph.IntAttr("num_heads", heads), graph.IntAttr("kv_num_heads", heads/2))
	y := b.OpN(graph.Microsoft, "GroupQueryAttention", 1, []*graph.Value{q, b.Slice(k, 2, 0, shared), b.Slice(v, 2, 0, shared), nil, nil, last, keys}, attrs...)[0]
	return b.Where(b.Unsqueeze(b.Cast(mask, graph.Bool), 2), y, b.Scalar(0))
}
