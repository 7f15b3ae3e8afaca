package pass_test

import (
	"testing"

	"graft/graph"
	"graft/graph/pass"
	"graft/runtime/ort"
)

// TestRaiseWidens: a graph that computes in another floating-point type is raised in float32, in which the CPU provider runs all of it, and gives
// what the same graph gave in float32, as far as the type's digits go.
func TestRaiseWidens(t *testing.T) {
	for dtype, tolerance := range map[graph.DType]float64{graph.Float16: 2e-2, graph.BFloat16: 1e-1, graph.Double: 1e-5} {
		t.Run(dtype.String(), func(t *testing.T) {
			want := run(t, lower(t, postNorm(t), pass.LowerOptions{}), ort.OptimizeOff, inputs())
			m := inType(t, lower(t, postNorm(t), pass.LowerOptions{}), dtype)
			high, report := raise(t, m)
			if report.Raised["LayerNormalization"]+report.Raised["Gelu"]+report.Raised["Attention"] < 4 || len(report.Left) > 0 {
				t.Errorf("raised %v", report)
			}
			for _, v := range high.Graph.Initializers {
				if v.Init.DType.IsFloat() && v.Init.DType != graph.Float {
					t.Errorf("weight %q is left in %v", v.Name, v.Init.DType)
				}
			}
			checkLayers(t, high, 2, 2, 6)
			agree(t, "in float32", run(t, lower(t, high, pass.LowerOptions{}), ort.OptimizeAll, inputs()), want, tolerance)
		})
	}
}

// inType is m with all that it computes in dtype, between casts of its inputs and outputs.
func inType(t *testing.T, m *graph.Model, dtype graph.DType) *graph.Model {
	t.Helper()
	g := m.Graph
	var before, after []*graph.Node
	for _, v := range g.Initializers {
		if v.Init.DType == graph.Float {
			v.Init = inFloat(t, v.Init, dtype)
			v.Type = v.Init.Type()
		}
	}
	for _, n := range g.Nodes {
		if n.Is("Cast") && n.Int("to", 0) == int64(graph.Float) {
			n.SetAttr(graph.IntAttr("to", int64(dtype)))
		}
		for _, v := range n.Outputs {
			v.Type = nil
		}
	}
	for _, in := range g.Inputs {
		if in.DType() == graph.Float {
			narrow := graph.NewValue(in.Name+"/narrow", nil)
			g.Replace(in, narrow)
			before = append(before, graph.NewNode("Cast", []*graph.Value{in}, []*graph.Value{narrow}, graph.IntAttr("to", int64(dtype))))
		}
	}
	for _, out := range g.Outputs {
		n := out.Def()
		inside := graph.NewValue(out.Name+"/narrow", nil)
		n.SetOutput(0, inside)
		after = append(after, graph.NewNode("Cast", []*graph.Value{inside}, []*graph.Value{out}, graph.IntAttr("to", int64(graph.Float))))
		out.Type = graph.TensorType(graph.Float, graph.Symbol("batch"), graph.Symbol("sequence"), graph.Size(hidden))
	}
	g.Nodes = append(append(before, g.Nodes...), after...)
	if err := graph.Infer(m); err != nil {
		t.Fatal(err)
	}
	return m
}

// inFloat is x, float32, in another floating-point type.
func inFloat(t *testing.T, x *graph.Tensor, dtype graph.DType) *graph.Tensor {
	t.Helper()
	if dtype != graph.Double {
		return graph.Convert(x, dtype)
	}
	list, err := x.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	wide := make([]float64, len(list))
	for i, f := range list {
		wide[i] = float64(f)
	}
	return graph.NewTensor(x.Name, wide, x.Shape...)
}
