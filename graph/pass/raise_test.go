package pass_test

import (
	"fmt"
	"maps"
	"testing"

	"graft/graph"
	"graft/graph/pass"
	"graft/runtime/ort"
)

// layers are the operators that Raise makes.
var layers = []string{"LayerNormalization", "RMSNormalization", "Gelu", "RotaryEmbedding", "Attention"}

func layerCensus(m *graph.Model) map[string]int {
	all, found := census(m), map[string]int{}
	for _, op := range layers {
		if all[op] > 0 {
			found[op] = all[op]
		}
	}
	return found
}

func raise(t *testing.T, m *graph.Model) (*graph.Model, pass.RaiseReport) {
	t.Helper()
	c := m.Clone()
	report, err := pass.Raise(c)
	if err != nil {
		t.Fatal(err)
	}
	return c, report
}

// TestRaiseUndoesLower: what Lower took apart is found again, and once more lowered is the same.
func TestRaiseUndoesLower(t *testing.T) {
	for name, build := range map[string]func(*testing.T) *graph.Model{"post-norm": postNorm, "pre-norm": preNorm} {
		for _, opset := range []int64{13, 14, 17, 20, 23} {
			m := build(t)
			want := layerCensus(m)
			low := lower(t, m, pass.LowerOptions{Opset: opset})
			high, report := raise(t, low)
			if got := layerCensus(high); !maps.Equal(got, want) {
				t.Errorf("%s, opset %d: raised %v, want %v; left %v", name, opset, got, want, report.Left)
			}
			if high.Graph.Nodes == nil || report.Left["mask"] > 0 {
				t.Errorf("%s, opset %d: %d masks stay numbers", name, opset, report.Left["mask"])
			}
			again := lower(t, high, pass.LowerOptions{Opset: opset})
			if a, b := census(low), census(again); !stable(a, b) {
				t.Errorf("%s, opset %d: lowered %v, raised and lowered again %v", name, opset, a, b)
			}
			agree(t, fmt.Sprintf("%s, opset %d", name, opset),
				run(t, again, ort.OptimizeAll, inputs()), run(t, low, ort.OptimizeOff, inputs()), 1e-5)
		}
	}
}

// stable compares the operators that compute; those that only reshape may differ.
func stable(a, b map[string]int) bool {
	for _, op := range []string{"MatMul", "Softmax", "LayerNormalization", "Gelu", "Erf", "Tanh", "Sqrt", "Where", "Attention", "Transpose", "Reshape"} {
		if a[op] != b[op] {
			return false
		}
	}
	return true
}

// modelOf is a model of opset 17 (or so) whose output is what build makes of x.
func modelOf(t *testing.T, opset int64, build func(b *graph.Builder, x, mask *graph.Value) *graph.Value) *graph.Model {
	t.Helper()
	b, x, mask, m := start(nil)
	m.SetOpset("", opset)
	m.SetOpset(graph.Microsoft, 1)
	m.IRVersion = 8
	return finish(t, b, m, build(b, x, mask))
}

// expectRaised raises m and compares operators and outputs.
func expectRaised(t *testing.T, m *graph.Model, want map[string]int) {
	t.Helper()
	high, report := raise(t, m)
	if got := layerCensus(high); !maps.Equal(got, want) {
		t.Errorf("raised %v, want %v; left %v; all %v", got, want, report.Left, census(high))
	}
	if len(report.Left) > 0 {
		t.Errorf("left %v", report.Left)
	}
	reference := run(t, m, ort.OptimizeOff, inputs())
	for _, level := range []ort.Level{ort.OptimizeOff, ort.OptimizeAll} {
		agree(t, "raised and lowered", run(t, lower(t, high, pass.LowerOptions{}), level, inputs()), reference, 2e-5)
	}
}

// TestRaiseNorm raises norms in the forms of exporters.
func TestRaiseNorm(t *testing.T) {
	mean := func(b *graph.Builder, x *graph.Value) *graph.Value {
		return b.Op("ReduceMean", []*graph.Value{x}, graph.IntsAttr("axes", -1), graph.IntAttr("keepdims", 1))
	}
	square := map[string]func(b *graph.Builder, x *graph.Value) *graph.Value{
		"Pow": func(b *graph.Builder, x *graph.Value) *graph.Value {
			return b.Op("Pow", []*graph.Value{x, b.Scalar(2)})
		},
		"Mul": func(b *graph.Builder, x *graph.Value) *graph.Value { return b.Mul(x, x) },
	}
	scale := map[string]func(b *graph.Builder, x, v *graph.Value) *graph.Value{
		"Div": func(b *graph.Builder, x, v *graph.Value) *graph.Value {
			return b.Div(x, b.Op("Sqrt", []*graph.Value{v}))
		},
		"Reciprocal": func(b *graph.Builder, x, v *graph.Value) *graph.Value {
			return b.Mul(b.Op("Reciprocal", []*graph.Value{b.Op("Sqrt", []*graph.Value{v})}), x)
		},
		"one over": func(b *graph.Builder, x, v *graph.Value) *graph.Value {
			return b.Mul(x, b.Div(b.Scalar(1), b.Op("Sqrt", []*graph.Value{v})))
		},
		"Pow of half": func(b *graph.Builder, x, v *graph.Value) *graph.Value {
			return b.Mul(x, b.Op("Pow", []*graph.Value{v, b.Scalar(-0.5)}))
		},
	}
	for squareName, sq := range square {
		for scaleName, sc := range scale {
			for _, kind := range []string{"layer", "layer without bias", "rms"} {
				t.Run(kind+"/"+squareName+"/"+scaleName, func(t *testing.T) {
					m := modelOf(t, 17, func(b *graph.Builder, x, _ *graph.Value) *graph.Value {
						d := x
						if kind != "rms" {
							d = b.Sub(x, mean(b, x))
						}
						y := sc(b, d, b.Add(mean(b, sq(b, d)), b.Scalar(1e-6)))
						y = b.Mul(b.Const(tensor("gain", 1, hidden)), y)
						if kind == "layer" {
							y = b.Add(b.Const(tensor("bias", 1, hidden)), y)
						}
						return y
					})
					op := map[bool]string{true: "RMSNormalization", false: "LayerNormalization"}[kind == "rms"]
					expectRaised(t, m, map[string]int{op: 1})
				})
			}
		}
	}
}

// TestRaiseGelu raises GELU in the orders of exporters.
func TestRaiseGelu(t *testing.T) {
	erf := func(b *graph.Builder, x *graph.Value) *graph.Value {
		return b.Add(b.Op("Erf", []*graph.Value{b.Div(x, b.Scalar(1.4142135))}), b.Scalar(1))
	}
	cube := func(b *graph.Builder, x *graph.Value) *graph.Value {
		return b.Op("Pow", []*graph.Value{x, b.Scalar(3)})
	}
	tanh := func(b *graph.Builder, inside *graph.Value) *graph.Value {
		return b.Add(b.Scalar(1), b.Op("Tanh", []*graph.Value{inside}))
	}
	for name, f := range map[string]func(b *graph.Builder, x *graph.Value) *graph.Value{
		"x phi half": func(b *graph.Builder, x *graph.Value) *graph.Value { return b.Mul(b.Mul(x, erf(b, x)), b.Scalar(0.5)) },
		"x half phi": func(b *graph.Builder, x *graph.Value) *graph.Value { return b.Mul(b.Mul(b.Scalar(0.5), x), erf(b, x)) },
		"half phi x": func(b *graph.Builder, x *graph.Value) *graph.Value { return b.Mul(x, b.Mul(erf(b, x), b.Scalar(0.5))) },
		"erf of product": func(b *graph.Builder, x *graph.Value) *graph.Value {
			e := b.Op("Erf", []*graph.Value{b.Mul(b.Scalar(0.70710678), x)})
			return b.Mul(b.Mul(x, b.Add(b.Scalar(1), e)), b.Scalar(0.5))
		},
		"halved": func(b *graph.Builder, x *graph.Value) *graph.Value {
			return b.Div(b.Mul(x, erf(b, x)), b.Scalar(2))
		},
		"tanh, cube": func(b *graph.Builder, x *graph.Value) *graph.Value {
			inside := b.Mul(b.Scalar(0.7978845608), b.Add(x, b.Mul(b.Scalar(0.044715), cube(b, x))))
			return b.Mul(b.Mul(b.Scalar(0.5), x), tanh(b, inside))
		},
		"tanh, products": func(b *graph.Builder, x *graph.Value) *graph.Value {
			inside := b.Mul(b.Mul(x, b.Scalar(0.7978845608)), b.Add(b.Scalar(1), b.Mul(b.Mul(b.Scalar(0.044715), x), x)))
			return b.Mul(b.Mul(x, b.Scalar(0.5)), tanh(b, inside))
		},
		"FastGelu": func(b *graph.Builder, x *graph.Value) *graph.Value {
			return b.OpN(graph.Microsoft, "FastGelu", 1, []*graph.Value{x, b.Const(tensor("bias", 1, hidden))})[0]
		},
		"BiasGelu": func(b *graph.Builder, x *graph.Value) *graph.Value {
			return b.OpN(graph.Microsoft, "BiasGelu", 1, []*graph.Value{x, b.Const(tensor("bias", 1, hidden))})[0]
		},
		"com.microsoft": func(b *graph.Builder, x *graph.Value) *graph.Value {
			return b.OpN(graph.Microsoft, "Gelu", 1, []*graph.Value{x})[0]
		},
	} {
		t.Run(name, func(t *testing.T) {
			expectRaised(t, modelOf(t, 17, func(b *graph.Builder, x, _ *graph.Value) *graph.Value { return f(b, x) }), map[string]int{"Gelu": 1})
		})
	}
}

// lowered17 is the form that most tests run.
var lowered17 = pass.LowerOptions{Opset: 17}
