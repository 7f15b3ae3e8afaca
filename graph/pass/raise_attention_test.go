package pass_test

import (
	"math"
	"testing"

	"graft/graph"
)

const headSize = hidden / heads

// splitHeads is x as [batch, heads, seq, size].
func splitHeads(b *graph.Builder, x *graph.Value) *graph.Value {
	return b.Transpose(b.Reshape(x, 0, 0, heads, headSize), 0, 2, 1, 3)
}

func mergeHeads(b *graph.Builder, y *graph.Value) *graph.Value {
	return b.Reshape(b.Transpose(y, 0, 2, 1, 3), 0, 0, hidden)
}

func softmax(b *graph.Builder, x *graph.Value) *graph.Value {
	return b.Op("Softmax", []*graph.Value{x}, graph.IntAttr("axis", -1))
}

// unsqueezed is the attention mask as numbers, [batch, 1, 1, seq].
func unsqueezed(b *graph.Builder, mask *graph.Value) *graph.Value {
	return b.Cast(b.Unsqueeze(mask, 1, 2), graph.Float)
}

// linears are the projections of x, so that queries, keys and values differ.
func linears(b *graph.Builder, x *graph.Value) (q, k, v *graph.Value) {
	return b.MatMul(x, b.Const(tensor("wq", 0.2, hidden, hidden))), b.MatMul(x, b.Const(tensor("wk2", 0.2, hidden, hidden))),
		b.MatMul(x, b.Const(tensor("wv33", 0.2, hidden, hidden)))
}

// TestRaiseScores raises attention whose scores are scaled in the ways of exporters.
func TestRaiseScores(t *testing.T) {
	root := float32(math.Sqrt(headSize))
	for name, scores := range map[string]func(b *graph.Builder, q, k *graph.Value) *graph.Value{
		"divided": func(b *graph.Builder, q, k *graph.Value) *graph.Value {
			return b.Div(b.MatMul(q, b.Transpose(k, 0, 1, 3, 2)), b.Scalar(root))
		},
		"multiplied": func(b *graph.Builder, q, k *graph.Value) *graph.Value {
			return b.Mul(b.Scalar(1/root), b.MatMul(q, b.Transpose(k, 0, 1, 3, 2)))
		},
		"query divided": func(b *graph.Builder, q, k *graph.Value) *graph.Value {
			return b.MatMul(b.Div(q, b.Scalar(root)), b.Transpose(k, 0, 1, 3, 2))
		},
		"roots on both, computed": func(b *graph.Builder, q, k *graph.Value) *graph.Value { // torch 2.1's scaled_dot_product_attention
			size := b.Cast(b.Slice(b.Op("Shape", []*graph.Value{q}), 0, -1, 1<<31-1), graph.Float)
			scale := b.Div(b.Scalar(1), b.Op("Sqrt", []*graph.Value{size}))
			half := b.Op("Sqrt", []*graph.Value{scale})
			return b.MatMul(b.Mul(q, half), b.Mul(b.Transpose(k, 0, 1, 3, 2), half))
		},
		"unusual": func(b *graph.Builder, q, k *graph.Value) *graph.Value {
			return b.Mul(b.MatMul(q, b.Transpose(k, 0, 1, 3, 2)), b.Scalar(0.25))
		},
		"none": func(b *graph.Builder, q, k *graph.Value) *graph.Value {
			return b.MatMul(q, b.Transpose(k, 0, 1, 3, 2))
		},
		"capped": func(b *graph.Builder, q, k *graph.Value) *graph.Value {
			s := b.Div(b.MatMul(q, b.Transpose(k, 0, 1, 3, 2)), b.Scalar(root))
			return b.Mul(b.Op("Tanh", []*graph.Value{b.Div(s, b.Scalar(3))}), b.Scalar(3))
		},
	} {
		t.Run(name, func(t *testing.T) {
			expectRaised(t, modelOf(t, 17, func(b *graph.Builder, x, mask *graph.Value) *graph.Value {
				q, k, v := linears(b, x)
				s := scores(b, splitHeads(b, q), splitHeads(b, k))
				s = b.Add(s, b.Mul(b.Sub(b.Scalar(1), unsqueezed(b, mask)), b.Scalar(-10000)))
				return mergeHeads(b, b.MatMul(softmax(b, s), splitHeads(b, v)))
			}), map[string]int{"Attention": 1})
		})
	}
}

// TestRaiseMask raises masks in the ways of exporters. The numbers of a mask must be gone, so
// that no −3.4e38 reaches an engine that computes in 16 bits.
func TestRaiseMask(t *testing.T) {
	const lowest = -math.MaxFloat32
	inf := float32(math.Inf(-1))
	for name, masked := range map[string]func(b *graph.Builder, s, mask *graph.Value) *graph.Value{
		"BERT": func(b *graph.Builder, s, mask *graph.Value) *graph.Value {
			return b.Add(s, b.Mul(b.Sub(b.Scalar(1), unsqueezed(b, mask)), b.Scalar(lowest)))
		},
		"BERT, expanded": func(b *graph.Builder, s, mask *graph.Value) *graph.Value {
			one := b.Int64s(1)
			shape := b.Op("Concat", []*graph.Value{b.Size(mask, 0), one, b.Size(mask, 1), b.Size(mask, 1)}, graph.IntAttr("axis", 0))
			m := b.Cast(b.Op("Expand", []*graph.Value{b.Unsqueeze(mask, 1, 2), shape}), graph.Float)
			return b.Add(b.Mul(b.Scalar(-10000), b.Sub(b.Scalar(1), m)), s)
		},
		"masked_fill": func(b *graph.Builder, s, mask *graph.Value) *graph.Value {
			inverted := b.Sub(b.Scalar(1), unsqueezed(b, mask))
			return b.Add(s, b.Where(b.Cast(inverted, graph.Bool), b.Scalar(lowest), inverted))
		},
		"where of scores": func(b *graph.Builder, s, mask *graph.Value) *graph.Value { // DistilBERT
			hidden := b.Op("Equal", []*graph.Value{b.Unsqueeze(mask, 1, 2), b.Int64(0)})
			return b.Where(hidden, b.Scalar(lowest), s)
		},
		"where of zero": func(b *graph.Builder, s, mask *graph.Value) *graph.Value {
			return b.Add(s, b.Where(b.Cast(b.Unsqueeze(mask, 1, 2), graph.Bool), b.Scalar(0), b.Scalar(inf)))
		},
		"causal by Trilu and padding": func(b *graph.Builder, s, mask *graph.Value) *graph.Value {
			shape := b.Op("Concat", []*graph.Value{b.Size(mask, 1), b.Size(mask, 1)}, graph.IntAttr("axis", 0))
			full := b.Op("ConstantOfShape", []*graph.Value{shape}, graph.TensorAttr("value", graph.NewTensor("", []float32{-10000}, 1)))
			causal := b.Op("Trilu", []*graph.Value{full, b.Int64(1)}, graph.IntAttr("upper", 1))
			padding := b.Mul(b.Sub(b.Scalar(1), unsqueezed(b, mask)), b.Scalar(-10000))
			return b.Add(s, b.Add(b.Unsqueeze(causal, 0, 1), padding))
		},
		"causal by a table": func(b *graph.Builder, s, mask *graph.Value) *graph.Value {
			table := make([]float32, 64)
			for i := range table {
				if i%8 > i/8 {
					table[i] = lowest
				}
			}
			n := b.Size(mask, 1)
			rows := b.Op("Slice", []*graph.Value{b.Const(graph.NewTensor("causal", table, 1, 1, 8, 8)), b.Int64s(0), n, b.Int64s(2)})
			return b.Add(s, b.Op("Slice", []*graph.Value{rows, b.Int64s(0), n, b.Int64s(3)}))
		},
		"none": func(b *graph.Builder, s, _ *graph.Value) *graph.Value { return s },
	} {
		t.Run(name, func(t *testing.T) {
			m := modelOf(t, 17, func(b *graph.Builder, x, mask *graph.Value) *graph.Value {
				for range 2 { // two layers, one mask each
					q, k, v := linears(b, x)
					s := b.Div(b.MatMul(splitHeads(b, q), b.Transpose(splitHeads(b, k), 0, 1, 3, 2)), b.Scalar(float32(math.Sqrt(headSize))))
					x = mergeHeads(b, b.MatMul(softmax(b, masked(b, s, mask)), splitHeads(b, v)))
				}
				return x
			})
			expectRaised(t, m, map[string]int{"Attention": 2})
		})
	}
}

// TestRaiseBias: a mask and a bias of positions (MPNet, T5) stay one float input, the masked
// keys hidden by a number that is finite in 16 bits.
func TestRaiseBias(t *testing.T) {
	m := modelOf(t, 17, func(b *graph.Builder, x, mask *graph.Value) *graph.Value {
		q, k, v := linears(b, x)
		s := b.MatMul(splitHeads(b, q), b.Transpose(splitHeads(b, k), 0, 1, 3, 2))
		s = b.Add(s, b.Const(tensor("bias", 1, 1, heads, 5, 5)))
		s = b.Add(s, b.Mul(b.Sub(b.Scalar(1), unsqueezed(b, mask)), b.Scalar(-math.MaxFloat32)))
		return mergeHeads(b, b.MatMul(softmax(b, s), splitHeads(b, v)))
	})
	high, report := raise(t, m)
	if report.Raised["Attention"] != 1 {
		t.Fatalf("raised %v", report.Raised)
	}
	high.Graph.Walk(func(n *graph.Node) {
		for _, v := range n.Inputs {
			if c := v.Const(); c != nil && c.DType == graph.Float && c.Len() == 1 {
				if f, _ := c.Float32s(); f[0] < -60000 {
					t.Errorf("node %q reads %g", n.Name, f[0])
				}
			}
		}
	})
	agree(t, "bias", run(t, lower(t, high, lowered17), "all", inputs()), run(t, m, "off", inputs()), 1e-5)
}

// TestRaiseKeepsHeadsApart: attention whose result is not merged is raised too.
func TestRaiseKeepsHeadsApart(t *testing.T) {
	expectRaised(t, modelOf(t, 17, func(b *graph.Builder, x, _ *graph.Value) *graph.Value {
		q, k, v := linears(b, x)
		y := b.MatMul(softmax(b, b.MatMul(splitHeads(b, q), b.Transpose(splitHeads(b, k), 0, 1, 3, 2))), splitHeads(b, v))
		return mergeHeads(b, b.Op("Relu", []*graph.Value{y}))
	}), map[string]int{"Attention": 1})
}

// TestRaiseRotary raises rotate_half with tables that are computed and that are stored, and
// grouped queries by repeat_kv.
func TestRaiseRotary(t *testing.T) {
	const kv = 2
	angles := noise(5, 16, headSize/2)
	table := make([]float32, 0, 2*len(angles)) // both halves alike
	for i := 0; i < len(angles); i += headSize / 2 {
		table = append(append(table, angles[i:i+headSize/2]...), angles[i:i+headSize/2]...)
	}
	stored := graph.NewTensor("angles", table, 16, headSize)
	for name, angle := range map[string]func(b *graph.Builder, mask *graph.Value) *graph.Value{
		"computed": func(b *graph.Builder, mask *graph.Value) *graph.Value {
			positions := b.Cast(b.Unsqueeze(b.Op("CumSum", []*graph.Value{mask, b.Int64(1)}), 2), graph.Float)
			freqs := b.Mul(positions, b.Const(graph.NewTensor("freqs", noise(6, 1, 1, headSize/2), 1, 1, headSize/2)))
			return b.Op("Concat", []*graph.Value{freqs, freqs}, graph.IntAttr("axis", -1))
		},
		"stored": func(b *graph.Builder, mask *graph.Value) *graph.Value {
			return b.Op("Gather", []*graph.Value{b.Const(stored), b.Op("CumSum", []*graph.Value{mask, b.Int64(1)})})
		},
		"of one text": func(b *graph.Builder, mask *graph.Value) *graph.Value {
			return b.Unsqueeze(b.Op("Slice", []*graph.Value{b.Const(stored), b.Int64s(0), b.Size(mask, 1), b.Int64s(0)}), 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			expectRaised(t, modelOf(t, 17, func(b *graph.Builder, x, mask *graph.Value) *graph.Value {
				a := angle(b, mask)
				cos, sin := b.Unsqueeze(b.Op("Cos", []*graph.Value{a}), 1), b.Unsqueeze(b.Op("Sin", []*graph.Value{a}), 1)
				turn := func(x *graph.Value) *graph.Value {
					half := b.Op("Concat", []*graph.Value{b.Op("Neg", []*graph.Value{b.Slice(x, 3, headSize/2, 1<<31-1)}), b.Slice(x, 3, 0, headSize/2)},
						graph.IntAttr("axis", -1))
					return b.Add(b.Mul(x, cos), b.Mul(half, sin))
				}
				repeat := func(x *graph.Value) *graph.Value { // [batch, kv, seq, size]
					one := b.Int64s(1)
					five := b.Op("Concat", []*graph.Value{one, one, b.Int64s(heads / kv), one, one}, graph.IntAttr("axis", 0))
					x = b.Op("Expand", []*graph.Value{b.Unsqueeze(x, 2), five})
					return b.Op("Reshape", []*graph.Value{x, b.Op("Concat", []*graph.Value{b.Size(x, 0), b.Int64s(heads), b.Size(x, 3), b.Int64s(headSize)}, graph.IntAttr("axis", 0))})
				}
				narrow := func(name string) *graph.Value {
					y := b.MatMul(x, b.Const(tensor(name, 0.2, hidden, kv*headSize)))
					return b.Transpose(b.Reshape(y, 0, 0, kv, headSize), 0, 2, 1, 3)
				}
				q, _, _ := linears(b, x)
				k, v := repeat(turn(narrow("wk"))), repeat(narrow("wvv"))
				s := b.Mul(b.MatMul(turn(splitHeads(b, q)), b.Transpose(k, 0, 1, 3, 2)), b.Scalar(float32(1/math.Sqrt(headSize))))
				return mergeHeads(b, b.MatMul(softmax(b, s), v))
			}), map[string]int{"Attention": 1, "RotaryEmbedding": 2})
		})
	}
}
