package pass_test

import (
	"fmt"
	"strings"
	"testing"

	"graft/graph"
	"graft/graph/pass"
)

// checkLayers compares what was found with the number of layers and of what each holds, and
// that each begins where the one before ended.
func checkLayers(t *testing.T, m *graph.Model, blocks, norms, linears int) []graph.Layer {
	t.Helper()
	layers, err := graph.Layers(m)
	if err != nil {
		t.Fatal(err)
	}
	if len(layers) != blocks {
		t.Fatalf("%d layers, want %d", len(layers), blocks)
	}
	for i, l := range layers {
		if len(l.Norms) != norms || len(l.Linears) != linears {
			t.Errorf("layer %d: %d norms and %d linears, want %d and %d", i, len(l.Norms), len(l.Linears), norms, linears)
		}
		if i > 0 && layers[i-1].Output != l.Input {
			t.Errorf("layer %d reads %v, layer %d ends in %v", i, l.Input, i-1, layers[i-1].Output)
		}
	}
	return layers
}

func TestLayers(t *testing.T) {
	for _, c := range []struct {
		name           string
		build          func(*testing.T) *graph.Model
		norms, linears int
		last           string // operator that writes the last layer's output
	}{
		{"post-norm", postNorm, 2, 6, "LayerNormalization"},
		{"pre-norm", preNorm, 4, 7, "Add"},
		{"parallel", parallel, 1, 6, "Add"},
		{"norms of what is added", addedNorm, 2, 6, "Add"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := c.build(t)
			layers := checkLayers(t, m, 2, c.norms, c.linears)
			for i, l := range layers {
				if want := fmt.Sprintf("encoder.layer.%d", i); l.Name != want {
					t.Errorf("layer %d is called %q, want %q", i, l.Name, want)
				}
			}
			end := m.Graph.Outputs[0]
			if n := end.Def(); c.last == "Add" && n.Is("LayerNormalization") {
				end = n.Input(0) // the norm behind the last block is none of it
			}
			if layers[0].Input != m.Graph.Inputs[0] || layers[1].Output != end {
				t.Errorf("from %v to %v", layers[0].Input, layers[1].Output)
			}
			if op := layers[1].Output.Def().Op; op != c.last {
				t.Errorf("the last layer ends in %s, want %s", op, c.last)
			}
		})
	}
}

// parallel is two blocks of GPT-J: x + attention(norm(x)) + mlp(norm(x)).
func parallel(t *testing.T) *graph.Model {
	c := checkpoint{}
	b, x, _, m := start(c)
	for i := range 2 {
		l := b.Scope("encoder.layer.%d", i)
		for _, name := range []string{"q", "k", "v", "o", "fc", "proj"} {
			c.linear(prefixed(i, name), hidden, hidden)
		}
		c.put(prefixed(i, "norm.weight"), true, hidden)
		h := l.LayerNormNoBias("norm", x, hidden, 1e-5)
		a := l.Attention(l.Linear("q", h, hidden, hidden), l.Linear("k", h, hidden, hidden), l.Linear("v", h, hidden, hidden),
			graph.AttentionOptions{Heads: heads, Causal: true})
		mlp := l.Linear("proj", l.Activation("gelu_new", l.Linear("fc", h, hidden, hidden)), hidden, hidden)
		x = l.Add(l.Add(l.Linear("o", a, hidden, hidden), mlp), x)
	}
	return finish(t, b, m, x)
}

// addedNorm is two blocks of OLMo 2, x + norm(attention(x)) and y + norm(mlp(y)), and the norm behind them.
func addedNorm(t *testing.T) *graph.Model {
	c := checkpoint{}
	b, x, _, m := start(c)
	for i := range 2 {
		l := b.Scope("encoder.layer.%d", i)
		for _, name := range []string{"q", "k", "v", "o", "fc", "proj"} {
			c.linear(prefixed(i, name), hidden, hidden)
		}
		c.put(prefixed(i, "after.weight"), true, hidden)
		c.put(prefixed(i, "last.weight"), true, hidden)
		a := l.Attention(l.Linear("q", x, hidden, hidden), l.Linear("k", x, hidden, hidden), l.Linear("v", x, hidden, hidden),
			graph.AttentionOptions{Heads: heads, Causal: true})
		x = l.Add(x, l.LayerNormNoBias("after", l.Linear("o", a, hidden, hidden), hidden, 1e-5))
		mlp := l.Linear("proj", l.Activation("gelu_new", l.Linear("fc", x, hidden, hidden)), hidden, hidden)
		x = l.Add(x, l.LayerNormNoBias("last", mlp, hidden, 1e-5))
	}
	c.put("norm.weight", true, hidden)
	return finish(t, b, m, b.LayerNormNoBias("norm", x, hidden, 1e-5))
}

// TestLayersRaised: a lowered graph has no Attention until it is raised.
func TestLayersRaised(t *testing.T) {
	low := lower(t, postNorm(t), pass.LowerOptions{})
	if _, err := graph.Layers(low); err == nil || !strings.Contains(err.Error(), "no attention is recognized") {
		t.Errorf("error %v, want one that says so", err)
	}
	high, _ := raise(t, low)
	checkLayers(t, high, 2, 2, 6)
}

// TestLayersBehindCasts: RMSNorm of transformers, exported in float32, reads the stream itself, but what it casts to float32,
// which changes nothing, is what is added to.
func TestLayersBehindCasts(t *testing.T) {
	low := lower(t, preNorm(t), pass.LowerOptions{})
	g := low.Graph
	var nodes []*graph.Node
	for _, n := range g.Nodes {
		if n.Is("Add") && n.Input(0).Const() == nil && n.Input(1).Const() == nil {
			same := graph.NewValue(n.Outputs[0].Name+"/stream", nil)
			nodes = append(nodes, graph.NewNode("Cast", []*graph.Value{n.Input(0)}, []*graph.Value{same}, graph.IntAttr("to", int64(graph.Float))))
			n.Inputs[0] = same
		}
		nodes = append(nodes, n)
	}
	g.Nodes = nodes
	high, _ := raise(t, low)
	checkLayers(t, high, 2, 4, 7)
}
