package pass_test

import (
	"testing"

	"graft/graph"
	"graft/graph/pass"
	"graft/runtime/ort"
)

// TestLowerFloat16 compares float16 with float32: close, finite, with the same contract, and
// with its matrices stored in 16 bits. The residual stream is driven past float16's largest
// number, which only its float32 survives.
func TestLowerFloat16(t *testing.T) {
	for name, build := range map[string]func(*testing.T) *graph.Model{"post-norm": postNorm, "pre-norm": preNorm} {
		m := build(t)
		want := run(t, lower(t, m, pass.LowerOptions{}), ort.OptimizeOff, inputs())
		low := lower(t, m, pass.LowerOptions{DType: graph.Float16})
		for _, level := range []ort.Level{ort.OptimizeOff, ort.OptimizeAll} {
			agree(t, name, run(t, low, level, inputs()), want, 2e-2)
		}
		if got := low.Graph.Outputs[0].DType(); got != graph.Float {
			t.Errorf("%s: output of %v, want FLOAT", name, got)
		}
		for _, v := range low.Graph.Initializers {
			if len(v.Init.Shape) == 2 && v.Init.DType != graph.Float16 {
				t.Errorf("%s: matrix %q is stored in %v", name, v.Name, v.Init.DType)
			}
		}
	}
	large := inputs()
	x := large["x"].Data.([]float32)
	for i := range x {
		x[i] *= 1e5
	}
	m := preNorm(t)
	want := run(t, lower(t, m, pass.LowerOptions{}), ort.OptimizeOff, large)
	agree(t, "large residual", run(t, lower(t, m, pass.LowerOptions{DType: graph.Float16}), ort.OptimizeOff, large), want, 2e-2)
}

// TestLowerBFloat16 checks types alone: ONNX Runtime's CPU provider does not compute in bfloat16.
func TestLowerBFloat16(t *testing.T) {
	for name, build := range map[string]func(*testing.T) *graph.Model{"post-norm": postNorm, "pre-norm": preNorm} {
		low := lower(t, build(t), pass.LowerOptions{DType: graph.BFloat16})
		if err := graph.Check(low); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := graph.Infer(low); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		low.Graph.Walk(func(n *graph.Node) {
			want := graph.Undefined
			switch n.Op {
			case "MatMul":
				want = graph.BFloat16
			case "LayerNormalization", "Softmax", "ReduceMean", "Sqrt":
				want = graph.Float
			default:
				return
			}
			for _, v := range append(n.Inputs[:1:1], n.Outputs[0]) {
				if v.DType() != want {
					t.Errorf("%s: node %q (%s): %v, want %v", name, n.Name, n.Op, v, want)
				}
			}
		})
	}
}
